"""Actions secrets (sealed boxes, never shown again) and variables."""

import base64
import binascii
import re

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from nacl.public import PrivateKey
from pydantic import BaseModel

from emulators.github.auth import Access, ReadSecrets, ReadVariables, WriteSecrets, WriteVariables
from emulators.github.errors import Conflict, NotFound, Unprocessable
from emulators.github.models import JsonObject
from emulators.github.rest.pages import WantedPage
from emulators.github.tables.secrets import Entry, can_open

router = APIRouter()

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
MAX_BYTES = 48 * 1024


class SealedSecret(BaseModel):
    """A secret encrypted for the repository's public key."""

    encrypted_value: str
    key_id: str


class Variable(BaseModel):
    """A variable."""

    name: str
    value: str


class VariableChange(BaseModel):
    """A new value."""

    value: str


@router.get("/repos/{owner}/{repo}/actions/secrets/public-key")
async def public_key(access: ReadSecrets) -> JsonObject:
    """Show the key to encrypt secrets for."""
    return {"key_id": _key_id(access), "key": base64.b64encode(_public_key(access)).decode()}


@router.get("/repos/{owner}/{repo}/actions/secrets")
async def list_secrets(access: ReadSecrets, page: WantedPage) -> JsonObject:
    """List names and dates."""
    entries = access.services.secrets.secrets(access.repository.id)
    return {"total_count": len(entries), "secrets": [_shown(entry) for entry in page.cut(entries)]}


@router.get("/repos/{owner}/{repo}/actions/secrets/{name}")
async def get_secret(access: ReadSecrets, name: str) -> JsonObject:
    """Show name and dates of one secret."""
    return _shown(_find(access.services.secrets.secrets(access.repository.id), name))


@router.put("/repos/{owner}/{repo}/actions/secrets/{name}")
async def put_secret(access: WriteSecrets, name: str, body: SealedSecret) -> Response:
    """Set a secret: 201 new, 204 replaced, 422 when it was not sealed for this repository."""
    _check_name(name)
    if body.key_id != _key_id(access):
        raise Unprocessable("Bad request - key_id does not match the repository's public key")
    try:
        sealed = base64.b64decode(body.encrypted_value, validate=True)
    except binascii.Error as error:
        raise Unprocessable("encrypted_value is not valid Base64") from error
    if len(sealed) > MAX_BYTES + 48 or not can_open(access.repository, sealed):
        raise Unprocessable("Encrypted value could not be decrypted, or is longer than 48 KB")
    new = access.services.secrets.put_secret(access.repository.id, name, sealed)
    return JSONResponse({}, 201) if new else Response(status_code=204)


@router.delete("/repos/{owner}/{repo}/actions/secrets/{name}", status_code=204)
async def delete_secret(access: WriteSecrets, name: str) -> None:
    """Delete a secret."""
    if not access.services.secrets.delete_secret(access.repository.id, name):
        raise NotFound


@router.get("/repos/{owner}/{repo}/actions/variables")
async def list_variables(access: ReadVariables, page: WantedPage) -> JsonObject:
    """List variables."""
    entries = access.services.secrets.variables(access.repository.id)
    return {"total_count": len(entries), "variables": [_shown(entry) for entry in page.cut(entries)]}


@router.get("/repos/{owner}/{repo}/actions/variables/{name}")
async def get_variable(access: ReadVariables, name: str) -> JsonObject:
    """Show a variable."""
    return _shown(_find(access.services.secrets.variables(access.repository.id), name))


@router.post("/repos/{owner}/{repo}/actions/variables", status_code=201)
async def create_variable(access: WriteVariables, body: Variable) -> JsonObject:
    """Create a variable; 409 when there is one of that name."""
    _check_name(body.name)
    if any(entry.name == body.name.upper() for entry in access.services.secrets.variables(access.repository.id)):
        raise Conflict("Already exists - Variable already exists")
    access.services.secrets.put_variable(access.repository.id, body.name, body.value)
    return {}


@router.patch("/repos/{owner}/{repo}/actions/variables/{name}", status_code=204)
async def change_variable(access: WriteVariables, name: str, body: VariableChange) -> None:
    """Give a variable another value."""
    _find(access.services.secrets.variables(access.repository.id), name)
    access.services.secrets.put_variable(access.repository.id, name, body.value)


@router.delete("/repos/{owner}/{repo}/actions/variables/{name}", status_code=204)
async def delete_variable(access: WriteVariables, name: str) -> None:
    """Delete a variable."""
    if not access.services.secrets.delete_variable(access.repository.id, name):
        raise NotFound


def _public_key(access: Access) -> bytes:
    return bytes(PrivateKey(access.repository.secret_key).public_key)


def _key_id(access: Access) -> str:
    return str(int.from_bytes(_public_key(access)[:8], "big"))


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name) or name.upper().startswith("GITHUB_"):
        raise Unprocessable(
            "Secret names can only contain alphanumeric characters ([a-z], [A-Z], [0-9]) or underscores (_). "
            "Spaces are not allowed. Must start with a letter ([a-z], [A-Z]) or underscores (_), and not with GITHUB_."
        )


def _find(entries: list[Entry], name: str) -> Entry:
    for entry in entries:
        if entry.name == name.upper():
            return entry
    raise NotFound


def _shown(entry: Entry) -> JsonObject:
    shown: JsonObject = {"name": entry.name, "created_at": entry.created_at, "updated_at": entry.updated_at}
    return shown if entry.value is None else {**shown, "value": entry.value}
