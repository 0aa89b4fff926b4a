"""structlog setup, correlation ids, redaction."""
