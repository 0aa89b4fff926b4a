"""Starts this emulator for tests of other members, with its own App key, and speaks for the App."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import httpx
import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from emulators.github.workbench import Workbench
from emulators.process import EmulatorProcess, start_emulator

APP_ID = 4711
OWNER = "acme"


@dataclass
class RunningGitHub:
    """A running emulator and what its clients need to know."""

    process: EmulatorProcess
    base_url: str
    app_id: int
    private_key_pem: str
    owner: str
    state: Path

    def app_jwt(self, lifetime_seconds: int = 540) -> str:
        """Sign a JWT as the App."""
        now = int(time.time())
        claims = {"iat": now - 30, "exp": now + lifetime_seconds, "iss": str(self.app_id)}
        return jwt.encode(claims, _parsed(self.private_key_pem), algorithm="RS256")

    async def token(
        self,
        repositories: Sequence[str] | None = None,
        permissions: dict[str, str] | None = None,
        *,
        owner: str | None = None,
    ) -> str:
        """Get an installation token for the owner, limited as given."""
        headers = {"authorization": f"Bearer {self.app_jwt()}"}
        async with httpx.AsyncClient(base_url=self.base_url, headers=headers) as client:
            installation = await client.get(f"/orgs/{owner or self.owner}/installation")
            installation.raise_for_status()
            wishes: dict[str, object] = {}
            if repositories is not None:
                wishes["repositories"] = list(repositories)
            if permissions is not None:
                wishes["permissions"] = permissions
            number = installation.json()["id"]
            answer = await client.post(f"/app/installations/{number}/access_tokens", json=wishes)
            answer.raise_for_status()
            token: str = answer.json()["token"]
            return token

    async def client(self) -> httpx.AsyncClient:
        """Return a REST client with a fresh token for everything; the caller closes it."""
        return httpx.AsyncClient(
            base_url=self.base_url, headers={"authorization": f"Bearer {await self.token()}"}, timeout=30
        )

    @asynccontextmanager
    async def workbench(self, repository: str, *, create: bool = True) -> AsyncIterator[Workbench]:
        """Make a repository (unless told not to) and yield a developer's tools for it."""
        token = await self.token()
        async with await self.client() as client:
            if create:
                answer = await client.post(f"/orgs/{self.owner}/repos", json={"name": repository, "private": True})
                answer.raise_for_status()
            yield Workbench(client, token, self.base_url, self.owner, repository)

    async def restart(self, options: Sequence[str] = (), *, kill: bool = False) -> None:
        """End the process (kill: without warning) and start it again on the same port and state."""
        if kill:
            await self.process.kill()
        else:
            await self.process.stop()
        arguments = [*_options(self.state, self.owner), *options]
        self.process = await start_emulator("github", self.state, arguments, port=self.process.port)


@asynccontextmanager
async def running_github(
    state: Path, *, owner: str = OWNER, options: Sequence[str] = (), port: int = 0
) -> AsyncIterator[RunningGitHub]:
    """Run the emulator on a free port for the length of the block; options as of `python -m emulators github`."""
    private_key_pem = await asyncio.to_thread(_prepare_key, state)
    process = await start_emulator("github", state, [*_options(state, owner), *options], port=port)
    running = RunningGitHub(process, process.base_url, APP_ID, private_key_pem, owner, state)
    try:
        yield running
    finally:
        await running.process.stop()


def _options(state: Path, owner: str) -> list[str]:
    return ["--app-id", str(APP_ID), "--app-public-key", str(state / "app.public.pem"), "--owner", owner]


@cache
def _parsed(private_key_pem: str) -> rsa.RSAPrivateKey:
    key = serialization.load_pem_private_key(private_key_pem.encode(), password=None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def _prepare_key(state: Path) -> str:
    """Return the App's private key, put there (with its public half beside it) when the state is new."""
    state.mkdir(parents=True, exist_ok=True)
    path = state / "app.private.pem"
    if not path.exists():
        private, public = _key_pair()
        (state / "app.public.pem").write_bytes(public)
        path.touch(mode=0o600)
        path.write_bytes(private)
    return path.read_text(encoding="utf-8")


@cache
def _key_pair() -> tuple[bytes, bytes]:
    """Make the key of this process's emulators: PEM of its private half and of its public one."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    public = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return key.private_bytes(*private), key.public_key().public_bytes(*public)
