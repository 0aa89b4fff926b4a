"""Pagination with Link headers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, Query, Request, Response

T = TypeVar("T")
MAX_PER_PAGE = 100


@dataclass(frozen=True)
class Page:
    """The wanted page of a list."""

    request: Request
    response: Response
    number: int
    size: int

    def cut(self, items: Sequence[T]) -> list[T]:
        """Return the items of this page and set the Link header."""
        last = max(1, -(-len(items) // self.size))
        links = []
        if self.number > 1:
            links += [self._link(1, "first"), self._link(min(self.number - 1, last), "prev")]
        if self.number < last:
            links += [self._link(self.number + 1, "next"), self._link(last, "last")]
        if links:
            self.response.headers["link"] = ", ".join(links)
        start = (self.number - 1) * self.size
        return list(items[start : start + self.size])

    def _link(self, number: int, relation: str) -> str:
        return f'<{self.request.url.include_query_params(page=number)}>; rel="{relation}"'


async def _page(
    request: Request,
    response: Response,
    page: Annotated[int, Query(ge=1)] = 1,
    per_page: Annotated[int, Query(ge=1)] = 30,
) -> Page:
    return Page(request, response, page, min(per_page, MAX_PER_PAGE))


WantedPage = Annotated[Page, Depends(_page)]
