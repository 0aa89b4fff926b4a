"""Engineering and deploy graphs on Postgres checkpoints."""
