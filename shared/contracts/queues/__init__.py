"""Stream messages, one module per conversation."""
