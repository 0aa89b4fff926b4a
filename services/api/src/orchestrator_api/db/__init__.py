"""The database: tables, engine, notifications."""
