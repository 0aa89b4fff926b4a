"""Lists as plain arrays with the cursor of the next page in the Link header."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeVar
from urllib.parse import quote

from fastapi import Depends, Query, Request, Response
from pydantic import BaseModel

from orchestrator_api.repositories.rows import DEFAULT_LIMIT, MAX_LIMIT, Page

T = TypeVar("T", bound=BaseModel)


class Listing:
    """One list request: the page that is wanted and where the cursor of the next one goes."""

    def __init__(self, request: Request, response: Response, page: Page) -> None:
        self.page = page
        self._request = request
        self._response = response

    def answer(self, found: tuple[list[T], int | None]) -> list[T]:
        """Return the rows; name the next page in the Link header when there may be one."""
        return linked(self._request, self._response, found)


async def _listing(
    request: Request,
    response: Response,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT,
    after: Annotated[int, Query(ge=0)] = 0,
) -> Listing:
    return Listing(request, response, Page(limit, after))


Listed = Annotated[Listing, Depends(_listing)]


def linked(request: Request, response: Response, found: tuple[list[T], int | None], cursor: str = "after") -> list[T]:
    """Return the rows; name the next page in the Link header when there may be one."""
    rows, following = found
    if following is not None:
        kept = [(name, value) for name, value in request.query_params.multi_items() if name != cursor]
        query = _encoded([*kept, (cursor, str(following))])
        response.headers["Link"] = f'<{quote(request.url.path)}?{query}>; rel="next"'
    return rows


def _encoded(pairs: Sequence[tuple[str, str]]) -> str:
    return "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)
