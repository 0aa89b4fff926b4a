"""Configures structlog and the standard library's logging to write one redacted line per event to stderr."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from shared.contracts.base import current_correlation_id
from shared.logging.redaction import redact

LogFormat = Literal["json", "console"]
_NOISY = ("httpx", "httpcore", "telegram", "asyncio", "uvicorn")


def _add_correlation(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    correlation_id = current_correlation_id()
    if correlation_id is not None:
        event.setdefault("correlation_id", correlation_id)
    return event


def _add_component(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    record = event.get("_record")
    if isinstance(record, logging.LogRecord):
        event["component"] = record.name
    return event


def _redacted(_: WrappedLogger, __: str, line: EventDict | str) -> str:
    return redact(str(line))


def _service_adder(service: str) -> Processor:
    def add_service(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event.setdefault("service", service)
        return event

    return add_service


def setup_logging(service: str, level: str = "INFO", format: LogFormat = "json") -> None:
    """Send structlog, standard logging and warnings of this process to stderr; redaction is the last processor."""
    numeric = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _service_adder(service),
        _add_correlation,
        structlog.processors.StackInfoRenderer(),
    ]
    rendering: list[Processor]
    if format == "json":
        rendering = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    else:
        # A plain traceback: the rich one shows values of variables, broken over lines where no secret is recognised.
        plain = structlog.dev.plain_traceback
        rendering = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
    rendering.append(_redacted)
    structlog.configure(
        processors=[*shared, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(numeric),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_add_component, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    logging.basicConfig(level=numeric, handlers=[handler], force=True)
    logging.captureWarnings(True)
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(numeric, logging.WARNING))


def get_logger(name: str) -> FilteringBoundLogger:
    """Return a structlog logger; usable at module level because it is configured on first use."""
    logger: FilteringBoundLogger = structlog.get_logger(component=name)
    return logger
