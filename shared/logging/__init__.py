"""structlog setup, correlation ids, redaction."""

from shared.logging import lean as lean  # first: what comes after it imports structlog
from shared.logging.redaction import redact, redact_body, register_secret
from shared.logging.setup import get_logger, setup_logging

__all__ = ["get_logger", "redact", "redact_body", "register_secret", "setup_logging"]
