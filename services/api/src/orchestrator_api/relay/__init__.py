"""The outbox relay: its own process, between the database and Redis; it does not know the routers."""
