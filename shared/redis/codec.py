"""Messages to bytes and back: strict when written; a reader ignores and logs the fields it does not know."""

from __future__ import annotations

from typing import Any, Generic

from pydantic import TypeAdapter, ValidationError

from shared.contracts.base import QueueMeta
from shared.contracts.queues.events import DeadLetterReason
from shared.contracts.topology import DLQ_SUFFIX, M, Stream
from shared.logging import get_logger
from shared.redis.errors import BodyTooLarge

FIELD = b"data"
SHOWN_ERRORS = 3
MAX_BODY_BYTES = 4 * 1024 * 1024
MAX_LETTER_BYTES = 8 * MAX_BODY_BYTES  # a letter quotes a whole body, and JSON makes some characters six
log = get_logger(__name__)


def encode(message: QueueMeta) -> bytes:
    """Return the JSON of a message, secrets included: an entry is for its reader alone. Raises BodyTooLarge."""
    body = message.__pydantic_serializer__.to_json(message)
    if len(body) > MAX_BODY_BYTES:
        raise BodyTooLarge(f"{type(message).__name__} has {len(body)} bytes, {MAX_BODY_BYTES} are allowed")
    return body


class Undecodable(Exception):
    """The entry is not a message of its stream."""

    def __init__(self, reason: DeadLetterReason, error: str) -> None:
        super().__init__(error)
        self.reason = reason


class Decoder(Generic[M]):
    """Reads the entries of one stream; unknown field names are logged once each."""

    def __init__(self, stream: Stream[M]) -> None:
        self._stream = stream.name
        self._adapter: TypeAdapter[M] = stream.adapter
        self._validate = self._adapter.validator.validate_json
        self._most = MAX_LETTER_BYTES if stream.name.endswith(DLQ_SUFFIX) else MAX_BODY_BYTES
        self._reported: set[str] = set()

    def decode(self, body: bytes | None) -> M:
        """Return the message; Undecodable when there is none, it is too large, invalid or of an unknown version."""
        if body is None:
            raise Undecodable(DeadLetterReason.UNDECODABLE, "the entry has no field `data`")
        if len(body) > self._most:
            raise Undecodable(DeadLetterReason.INVALID, f"the body has {len(body)} bytes, {self._most} are allowed")
        try:
            message: M = self._validate(body)
        except ValidationError as error:
            return self._decode_tolerantly(body, error)
        return message

    def _decode_tolerantly(self, body: bytes, first: ValidationError) -> M:
        try:
            message = self._adapter.validate_json(body, extra="ignore")
        except ValidationError as error:
            raise Undecodable(*_explain(error)) from None
        unknown = {".".join(str(part) for part in item["loc"]) for item in first.errors(include_input=False)}
        if not unknown <= self._reported:
            self._reported |= unknown
            log.info("unknown fields ignored", stream=self._stream, fields=sorted(unknown))
        return message


class Decoders:
    """One decoder per message type: building a validator costs more than a thousand messages."""

    def __init__(self) -> None:
        self._by_model: dict[int, tuple[Any, Decoder[Any]]] = {}

    def of(self, stream: Stream[M]) -> Decoder[M]:
        """Return the decoder of a stream's model."""
        known = self._by_model.get(id(stream.model))
        if known is None:
            known = self._by_model[id(stream.model)] = (stream.model, Decoder(stream))
        return known[1]


def _explain(error: ValidationError) -> tuple[DeadLetterReason, str]:
    """Name the reason and the fields; values stay out, they may be secrets."""
    items = error.errors(include_input=False, include_url=False)
    kinds = {item["type"] for item in items}
    text = "; ".join(f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in items[:SHOWN_ERRORS])
    if "json_invalid" in kinds:
        return DeadLetterReason.UNDECODABLE, text
    if any(item["loc"] and item["loc"][-1] == "version" for item in items):
        return DeadLetterReason.UNKNOWN_VERSION, text
    return DeadLetterReason.INVALID, text
