"""SQL, and nothing else: every function takes a connection or the database and returns contracts."""
