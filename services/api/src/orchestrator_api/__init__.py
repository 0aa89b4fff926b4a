"""REST api over PostgreSQL, run state machines, outbox relay."""
