"""Pull requests: opened or adopted, found by branch, merged at exactly one head."""

from __future__ import annotations

from pydantic import JsonValue

from shared.clients.github.errors import GitHubConflict, GitHubError, GitHubInvalid, MergeRefused
from shared.clients.github.models import MergeResult, Pull
from shared.clients.github.reading import read, read_list
from shared.clients.github.resources import Resources, split_full_name
from shared.clients.github.transport import Call


class Pulls(Resources):
    """See shared.clients.github.port for what each method promises."""

    async def create_pull(self, full_name: str, head: str, base: str, title: str, body: str) -> Pull:
        content: dict[str, JsonValue] = {"head": head, "base": base, "title": title, "body": body}
        try:
            response = await self._repository(full_name, Call("POST", "/pulls", content))
        except GitHubInvalid:
            existing = await self.find_pull(full_name, head)
            if existing is None or not existing.is_open or existing.base.ref != base:
                raise
            return existing
        return read(Pull, response)

    async def get_pull(self, full_name: str, number: int) -> Pull:
        return read(Pull, await self._repository(full_name, Call("GET", f"/pulls/{number}")))

    async def find_pull(self, full_name: str, head_branch: str) -> Pull | None:
        owner, _ = split_full_name(full_name)
        query = {"head": f"{owner}:{head_branch}", "state": "all", "sort": "created", "direction": "desc"}
        response = await self._repository(full_name, Call("GET", "/pulls", query=query))
        # GitHub ignores a filter it cannot read, so the branch is compared here as well.
        own = [pull for pull in read_list(Pull, response) if pull.head.ref == head_branch]
        return next((pull for pull in own if pull.is_open), own[0] if own else None)

    async def merge_pull(self, full_name: str, number: int, sha: str, title: str) -> MergeResult:
        before = await self._merged(full_name, number)
        if before is not None:
            return before
        body: dict[str, JsonValue] = {"sha": sha, "commit_title": title, "merge_method": "squash"}
        try:
            response = await self._repository(full_name, Call("PUT", f"/pulls/{number}/merge", body))
        except (GitHubConflict, GitHubInvalid) as error:
            # The answer to an earlier try may have been lost on its way.
            before = await self._merged(full_name, number)
            if before is not None:
                return before
            raise MergeRefused(str(error), status=error.status) from error
        return read(MergeResult, response)

    async def _merged(self, full_name: str, number: int) -> MergeResult | None:
        pull = await self.get_pull(full_name, number)
        if not pull.is_merged:
            return None
        if pull.merge_commit_sha is None:
            raise GitHubError(f"pull request {number} of {full_name} is merged without a merge commit")
        return MergeResult(sha=pull.merge_commit_sha, was_merged_before=True)
