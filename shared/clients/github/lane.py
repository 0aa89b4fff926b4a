"""What the calls of one credential share: the hourly budget, slots for requests under way, answers with an ETag."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field

import httpx

from shared.clients.github.budget import RequestBudget

# GitHub refuses more than a hundred requests at a time of one App; several processes share them.
MAX_CONCURRENT_REQUESTS = 20
MAX_ANSWERS = 500
MAX_BYTES = 8 * 1024 * 1024
_MAX_ANSWER_BYTES = MAX_BYTES // 8


class AnswerCache:
    """The newest answers to GETs, to be asked for conditionally; bounded by number and by size."""

    def __init__(self, max_answers: int = MAX_ANSWERS, max_bytes: int = MAX_BYTES) -> None:
        self._max_answers = max_answers
        self._max_bytes = max_bytes
        self._bytes = 0
        self._answers: OrderedDict[tuple[str, str], httpx.Response] = OrderedDict()

    def __len__(self) -> int:
        return len(self._answers)

    def known(self, request: httpx.Request) -> httpx.Response | None:
        """Return the last answer to the same request."""
        answer = self._answers.get(_key(request))
        if answer is not None:
            self._answers.move_to_end(_key(request))
        return answer

    def keep(self, response: httpx.Response) -> None:
        """Remember an answer that can be asked for conditionally; others are let go."""
        key = _key(response.request)
        self._drop(key)
        is_direct_get = response.request.method == "GET" and not response.history
        if response.status_code != 200 or not is_direct_get or "etag" not in response.headers:
            return
        if len(response.content) > min(_MAX_ANSWER_BYTES, self._max_bytes):
            return
        self._answers[key] = response
        self._bytes += len(response.content)
        while len(self._answers) > self._max_answers or self._bytes > self._max_bytes:
            self._drop(next(iter(self._answers)))

    def _drop(self, key: tuple[str, str]) -> None:
        answer = self._answers.pop(key, None)
        if answer is not None:
            self._bytes -= len(answer.content)


@dataclass(frozen=True, slots=True)
class Lane:
    """One for the App itself and one for each installation."""

    budget: RequestBudget = field(default_factory=RequestBudget)
    answers: AnswerCache = field(default_factory=AnswerCache)
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_CONCURRENT_REQUESTS))


def _key(request: httpx.Request) -> tuple[str, str]:
    return str(request.url), request.headers.get("accept", "")
