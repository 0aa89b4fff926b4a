"""Reads the parameters of a Bot API call from a query, a form, a multipart body or JSON."""

import json
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from starlette.datastructures import UploadFile
from starlette.requests import Request

from emulators.telegram.errors import BotApiError
from emulators.telegram.models import Entity

# In a form these are JSON texts.
NESTED = {
    "reply_markup",
    "entities",
    "caption_entities",
    "commands",
    "scope",
    "allowed_updates",
    "reply_parameters",
    "link_preview_options",
}
ATTACHED = "attach://"


@dataclass(frozen=True)
class Upload:
    """A file in the request."""

    name: str
    mime_type: str
    content: bytes


@dataclass(frozen=True)
class Parameters:
    """What a call was given."""

    values: dict[str, JsonValue]
    uploads: dict[str, Upload] = field(default_factory=dict)

    def parse(self, kind: type["ParameterT"]) -> "ParameterT":
        """Return the parameters of one method; raises BotApiError naming the field."""
        try:
            return kind.model_validate(self.values)
        except ValidationError as error:
            problem = error.errors()[0]
            name = str(problem["loc"][0]) if problem["loc"] else "request"
            raise BotApiError.bad_request(f"can't parse {name}: {problem['msg']}") from error

    def upload(self, name: str) -> Upload | None:
        """Return the file of a field, given directly or as attach://."""
        reference = self.values.get(name)
        if isinstance(reference, str) and reference.startswith(ATTACHED):
            return self.uploads.get(reference.removeprefix(ATTACHED))
        return self.uploads.get(name)


class MethodParameters(BaseModel):
    """Base of a method's parameters; those we do not use are ignored, as a newer client may send them."""

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)


ParameterT = TypeVar("ParameterT", bound=MethodParameters)


class GetUpdates(MethodParameters):
    """Parameters of getUpdates."""

    offset: int = 0
    limit: int = Field(default=100)
    timeout: float = 0
    allowed_updates: list[str] | None = None


class SetWebhook(MethodParameters):
    """Parameters of setWebhook and deleteWebhook."""

    url: str = ""
    secret_token: str | None = None
    allowed_updates: list[str] | None = None
    drop_pending_updates: bool = False


class ReplyParameters(MethodParameters):
    """What a message answers."""

    message_id: int
    allow_sending_without_reply: bool = False


class ToChat(MethodParameters):
    """Parameters of every method about a chat."""

    chat_id: str = ""


class SendMessage(ToChat):
    """Parameters of sendMessage."""

    text: str = ""
    entities: list[Entity] | None = None
    reply_markup: JsonValue = None
    reply_parameters: ReplyParameters | None = None


class SendDocument(ToChat):
    """Parameters of sendDocument, without the file."""

    document: str | None = None
    caption: str = ""
    reply_markup: JsonValue = None
    reply_parameters: ReplyParameters | None = None


class SendMessageDraft(ToChat):
    """Parameters of sendMessageDraft."""

    draft_id: int = 0
    text: str = ""


class OneMessage(ToChat):
    """Parameters of deleteMessage and of the edits."""

    message_id: int = 0
    text: str = ""
    entities: list[Entity] | None = None
    reply_markup: JsonValue = None


class AnswerCallbackQuery(MethodParameters):
    """Parameters of answerCallbackQuery."""

    callback_query_id: str = ""
    text: str = ""


class BotCommand(MethodParameters):
    """A command in the bot's menu."""

    command: str
    description: str


class MyCommands(MethodParameters):
    """Parameters of the three methods about the bot's menu."""

    commands: list[BotCommand] = []
    scope: dict[str, JsonValue] = {"type": "default"}
    language_code: str = ""

    def place(self) -> str:
        """Return the key of this menu."""
        return f"commands {json.dumps(self.scope, sort_keys=True)} {self.language_code}"


class GetFile(MethodParameters):
    """Parameters of getFile."""

    file_id: str = ""


async def read_parameters(request: Request) -> Parameters:
    """Collect the parameters of a call from wherever they are. Raises BotApiError."""
    values: dict[str, JsonValue] = dict(request.query_params)
    uploads: dict[str, Upload] = {}
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == "application/json":
        values |= _json_object(await request.body())
    elif content_type in {"application/x-www-form-urlencoded", "multipart/form-data"}:
        async with request.form(max_part_size=16 * 1024 * 1024) as form:
            for name, value in form.multi_items():
                if isinstance(value, UploadFile):
                    kind = value.content_type or "application/octet-stream"
                    uploads[name] = Upload(value.filename or "file", kind, await value.read())
                else:
                    values[name] = value
    for name in NESTED & values.keys():
        values[name] = _nested(name, values[name])
    return Parameters(values, uploads)


def _json_object(body: bytes) -> dict[str, JsonValue]:
    try:
        given = json.loads(body or b"{}")
    except ValueError as error:
        raise BotApiError.bad_request("can't parse request body as JSON") from error
    if not isinstance(given, dict):
        raise BotApiError.bad_request("the request body must be a JSON object")
    return given


def _nested(name: str, value: JsonValue) -> JsonValue:
    if not isinstance(value, str):
        return value
    if not value:
        return None
    try:
        parsed: JsonValue = json.loads(value)
    except ValueError as error:
        raise BotApiError.bad_request(f"can't parse {name} JSON object") from error
    return parsed
