"""pytest plugin: exchanges with GitHub are noted during a test and checked against its published description."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx
import pytest

from shared.runtime.npm import NpmUnavailable

if TYPE_CHECKING:
    from shared.testing.github_description import GitHubDescription

# A made-up answer with this header is not checked.
WRONG_ON_PURPOSE = "x-wrong-on-purpose"
# What an emulator serves beside the API: its levers, signed addresses of logs and artifacts, git.
_BESIDE_THE_API = ("/_emulator/", "/_results/")


@dataclass
class Exchanges:
    """Requests and their answers (None: lost on the way)."""

    noted: list[tuple[httpx.Request, httpx.Response | None]] = field(default_factory=list)

    def note(self, request: httpx.Request, response: httpx.Response | None) -> None:
        is_meant_wrong = response is not None and WRONG_ON_PURPOSE in response.headers
        if not request.url.path.startswith(_BESIDE_THE_API) and not is_meant_wrong:
            self.noted.append((request, response))

    async def note_answer(self, response: httpx.Response) -> None:
        """Serve as httpx's response hook."""
        await response.aread()
        self.note(response.request, response)

    def problems(self, description: GitHubDescription, *, of_requests: bool = True) -> list[str]:
        """Return each kind of problem once."""
        found: dict[str, None] = {}
        for request, response in self.noted:
            if of_requests:
                found |= dict.fromkeys(description.request_problems(request))
            if response is not None:
                found |= dict.fromkeys(description.answer_problems(request, response))
        return list(found)


class NotingTransport(httpx.AsyncBaseTransport):
    """Sends over the network and notes what is said."""

    def __init__(self, exchanges: Exchanges) -> None:
        self._exchanges = exchanges
        self._network = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            response = await self._network.handle_async_request(request)
            await response.aread()
        except httpx.TransportError:
            self._exchanges.note(request, None)
            raise
        self._exchanges.note(request, response)
        return response

    async def aclose(self) -> None:
        await self._network.aclose()


@pytest.fixture(scope="session")
def published_github() -> GitHubDescription | str:
    """GitHub's published description, or why it is not to be had here."""
    # The validator takes a while to import, and few tests want it.
    from shared.testing.github_description import load_description

    try:
        return load_description()
    except NpmUnavailable as error:
        return str(error)


@pytest.fixture
def github_description(published_github: GitHubDescription | str) -> GitHubDescription:
    """GitHub's published description; skips where it cannot be fetched."""
    if isinstance(published_github, str):
        pytest.skip(f"GitHub's published description is not to be had: {published_github}")
    return published_github


@pytest.fixture
def github_exchanges(published_github: GitHubDescription | str) -> Iterator[Exchanges]:
    """Note exchanges here; requests and answers are checked when the test is over, where the description is at hand."""
    exchanges = Exchanges()
    yield exchanges
    if not isinstance(published_github, str):
        problems = exchanges.problems(published_github)
        assert not problems, "\n".join(problems)


@pytest.fixture
def github_answers(published_github: GitHubDescription | str) -> Iterator[Exchanges]:
    """Like github_exchanges, for tests that send wrong requests on purpose: only the answers are checked."""
    exchanges = Exchanges()
    yield exchanges
    if not isinstance(published_github, str):
        problems = exchanges.problems(published_github, of_requests=False)
        assert not problems, "\n".join(problems)
