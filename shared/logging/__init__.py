"""structlog setup, correlation ids, redaction."""

from shared.logging.redaction import redact, register_secret
from shared.logging.setup import get_logger, setup_logging

__all__ = ["get_logger", "redact", "register_secret", "setup_logging"]
