"""REST as GitHub's clients know it: repositories, contents, refs, pull requests, secrets, errors and headers."""

import base64
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from fastapi.routing import APIRoute

from emulators.github.app import ROUTERS
from emulators.github.fixtures import RunningGitHub, running_github
from emulators.github.workbench import Workbench
from shared.testing.github_description import GitHubDescription
from shared.testing.github_fixtures import Exchanges

pytestmark = [pytest.mark.service, pytest.mark.timeout(330), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def github(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningGitHub]:
    async with running_github(tmp_path_factory.mktemp("github")) as github:
        yield github


@pytest_asyncio.fixture(loop_scope="module")
async def bench(github: RunningGitHub, github_answers: Exchanges) -> AsyncIterator[Workbench]:
    async with github.workbench("demo") as bench:
        bench.client.event_hooks = {"response": [github_answers.note_answer]}
        yield bench
        await bench.call("DELETE")


async def put(bench: Workbench, path: str, text: str, **more: Any) -> httpx.Response:
    encoded = base64.b64encode(text.encode()).decode()
    return await bench.call("PUT", f"/contents/{path}", json={"message": f"Put {path}", "content": encoded, **more})


async def feature(bench: Workbench, text: str = "new\n", branch: str = "feature") -> str:
    """Give the repository a main branch and one branch ahead of it; returns that head."""
    if (await bench.call("GET", "/git/ref/heads/main")).status_code != 200:
        assert (await put(bench, "a.txt", "one\ntwo\nthree\n")).status_code == 201
    main = (await bench.json("/git/ref/heads/main"))["object"]["sha"]
    made = await bench.call("POST", "/git/refs", json={"ref": f"refs/heads/{branch}", "sha": main})
    assert made.status_code == 201, made.text
    answer = await put(bench, f"{branch}.txt", text, branch=branch)
    assert answer.status_code == 201, answer.text
    sha: str = answer.json()["commit"]["sha"]
    return sha


async def test_the_app_finds_its_installation_and_limits_tokens(
    github: RunningGitHub, bench: Workbench, github_answers: Exchanges
) -> None:
    hooks = {"response": [github_answers.note_answer]}
    async with httpx.AsyncClient(base_url=github.base_url, event_hooks=hooks) as client:
        client.headers["authorization"] = f"Bearer {github.app_jwt()}"
        assert (await client.get("/app")).json()["id"] == github.app_id
        (installation,) = (await client.get("/app/installations")).json()
        for path in ("/orgs/acme/installation", "/users/ACME/installation", "/repos/acme/demo/installation"):
            assert (await client.get(path)).json()["id"] == installation["id"]
        assert (await client.get("/orgs/nobody/installation")).status_code == 404
        path = f"/app/installations/{installation['id']}/access_tokens"
        limited = await client.post(path, json={"repositories": ["demo"], "permissions": {"contents": "read"}})
        assert limited.status_code == 201
        assert limited.json()["permissions"] == {"metadata": "read", "contents": "read"}
        assert [item["name"] for item in limited.json()["repositories"]] == ["demo"]
        for wrong in ({"repositories": ["absent"]}, {"permissions": {"packages": "write"}}):
            assert (await client.post(path, json=wrong)).status_code == 422
        client.headers["authorization"] = f"Bearer {github.app_jwt(lifetime_seconds=3600)}"
        answer = await client.get("/app")
        assert (answer.status_code, "too far in the future" in answer.json()["message"]) == (401, True)
        client.headers["authorization"] = f"Bearer {bench.token}"
        assert (await client.get("/app")).status_code == 401


async def test_a_repository_name_can_be_taken_once(bench: Workbench) -> None:
    again = await bench.client.post("/orgs/acme/repos", json={"name": "Demo"})
    assert again.status_code == 422
    assert again.json() == {
        "message": "Repository creation failed.",
        "documentation_url": "https://docs.github.com/rest",
        "status": "422",
        "errors": [
            {
                "resource": "Repository",
                "code": "custom",
                "field": "name",
                "message": "name already exists on this account",
            }
        ],
    }
    shown = await bench.json()
    assert shown["clone_url"] == f"{bench.base_url}/acme/demo.git"
    assert (await bench.call("PATCH", json={"name": "renamed", "description": "x"})).json()[
        "full_name"
    ] == "acme/renamed"
    assert (await bench.call("GET")).status_code == 404
    names = [item["name"] for item in (await bench.client.get("/orgs/acme/repos")).json()]
    assert "renamed" in names
    assert "demo" not in names
    assert (await bench.client.delete("/repos/acme/renamed")).status_code == 204
    assert (await bench.client.get("/repos/acme/renamed")).status_code == 404


async def test_an_empty_repository_says_so_and_auto_init_fills_one(bench: Workbench) -> None:
    assert (await bench.call("GET", "/git/ref/heads/main")).status_code == 409
    assert (await bench.call("GET", "/contents/")).json()["message"] == "This repository is empty."
    made = await bench.client.post("/orgs/acme/repos", json={"name": "full", "auto_init": True})
    assert made.status_code == 201
    readme = (await bench.client.get("/repos/acme/full/contents/README.md")).json()
    assert base64.b64decode(readme["content"]) == b"# full\n"


async def test_contents_are_created_replaced_by_their_sha_and_listed(bench: Workbench) -> None:
    created = await put(bench, "dir/a.txt", "one")
    assert created.status_code == 201
    assert (await put(bench, "dir/a.txt", "two")).status_code == 422
    assert (await put(bench, "dir/a.txt", "two", sha="0" * 40)).status_code == 409
    replaced = await put(bench, "dir/a.txt", "two", sha=created.json()["content"]["sha"])
    assert replaced.status_code == 200
    raw = await bench.call("GET", "/contents/dir/a.txt", headers={"accept": "application/vnd.github.raw+json"})
    assert raw.text == "two"
    assert [(item["type"], item["path"]) for item in await bench.json("/contents/")] == [("dir", "dir")]
    assert [item["path"] for item in await bench.json("/contents/dir")] == ["dir/a.txt"]
    tree = (await bench.json("/git/trees/main?recursive=1"))["tree"]
    assert [item["path"] for item in tree] == ["dir", "dir/a.txt"]
    old = created.json()["commit"]["sha"]
    raw = await bench.call("GET", f"/contents/dir/a.txt?ref={old}", headers={"accept": "application/vnd.github.raw"})
    assert raw.text == "one"
    assert (await bench.call("GET", "/contents/none.txt")).status_code == 404
    assert (await put(bench, "../../evil", "x")).status_code in (404, 422)


async def test_compare_gives_counts_and_the_real_diff(bench: Workbench) -> None:
    head = await feature(bench)
    shown = await bench.json("/compare/main...feature")
    assert (shown["status"], shown["ahead_by"], shown["behind_by"], shown["total_commits"]) == ("ahead", 1, 0, 1)
    assert [(item["filename"], item["status"], item["patch"]) for item in shown["files"]] == [
        ("feature.txt", "added", "@@ -0,0 +1 @@\n+new")
    ]
    diff = await bench.call("GET", f"/compare/main...{head}", headers={"accept": "application/vnd.github.diff"})
    assert diff.text.startswith("diff --git a/feature.txt b/feature.txt\nnew file mode 100644\n")
    assert diff.text.endswith("@@ -0,0 +1 @@\n+new\n")
    assert (await bench.call("GET", "/compare/main...gone")).status_code == 404


async def test_a_pull_request_is_opened_once_and_found_by_head(bench: Workbench) -> None:
    head = await feature(bench)
    body = {"title": "Add", "head": "feature", "base": "main", "body": "Why"}
    made = await bench.call("POST", "/pulls", json=body)
    assert (made.status_code, made.json()["head"]["sha"], made.json()["number"]) == (201, head, 1)
    again = await bench.call("POST", "/pulls", json={**body, "head": "acme:feature"})
    assert again.status_code == 422
    assert again.json()["errors"][0]["message"] == "A pull request already exists for acme:feature."
    await bench.call("POST", "/git/refs", json={"ref": "refs/heads/same", "sha": made.json()["base"]["sha"]})
    same = await bench.call("POST", "/pulls", json={**body, "head": "same"})
    assert same.json()["errors"][0]["message"] == "No commits between main and same"
    assert (await bench.call("POST", "/pulls", json={**body, "head": "gone"})).json()["errors"][0]["field"] == "head"
    assert [pull["number"] for pull in await bench.json("/pulls?head=acme:feature&base=main")] == [1]
    assert await bench.json("/pulls?head=acme:other") == []
    assert [item["filename"] for item in await bench.json("/pulls/1/files")] == ["feature.txt"]
    closed = await bench.call("PATCH", "/pulls/1", json={"state": "closed", "title": "Renamed"})
    assert (closed.json()["state"], closed.json()["title"], closed.json()["body"]) == ("closed", "Renamed", "Why")
    assert await bench.json("/pulls") == []
    reopened = await bench.call("PATCH", "/pulls/1", json={"state": "open"})
    assert (reopened.json()["state"], reopened.json()["closed_at"]) == ("open", None)
    assert (await bench.call("DELETE", "/git/refs/heads/feature")).status_code == 204
    assert (await bench.json("/pulls/1"))["state"] == "closed"


@pytest.mark.parametrize(("method", "parents"), [("merge", 2), ("squash", 1), ("rebase", 1)])
async def test_each_merge_method_moves_the_base_with_git(bench: Workbench, method: str, parents: int) -> None:
    head = await feature(bench)
    await put(bench, "later.txt", "on main\n")
    await bench.call("POST", "/pulls", json={"title": "Add", "head": "feature", "base": "main"})
    stale = await bench.call("PUT", "/pulls/1/merge", json={"sha": "0" * 40, "merge_method": method})
    assert (stale.status_code, stale.json()["message"]) == (
        409,
        "Head branch was modified. Review and try the merge again.",
    )
    merged = await bench.call("PUT", "/pulls/1/merge", json={"sha": head, "merge_method": method})
    assert merged.status_code == 200, merged.text
    sha = merged.json()["sha"]
    assert merged.json() == {"sha": sha, "merged": True, "message": "Pull Request successfully merged"}
    assert (await bench.json("/git/ref/heads/main"))["object"]["sha"] == sha
    assert len((await bench.json(f"/commits/{sha}"))["parents"]) == parents
    names = [item["path"] for item in await bench.json("/contents/")]
    assert names == ["a.txt", "feature.txt", "later.txt"]
    shown = await bench.json("/pulls/1")
    assert (shown["merged"], shown["state"], shown["merge_commit_sha"]) == (True, "closed", sha)
    assert (await bench.call("PUT", "/pulls/1/merge", json={})).status_code == 405


async def test_a_conflict_is_dirty_and_cannot_be_merged(bench: Workbench) -> None:
    await feature(bench)
    blob = (await bench.json("/contents/a.txt"))["sha"]
    await put(bench, "a.txt", "one\nFEATURE\nthree\n", sha=blob, branch="feature")
    await put(bench, "a.txt", "one\nMAIN\nthree\n", sha=blob)
    await bench.call("POST", "/pulls", json={"title": "Add", "head": "feature", "base": "main"})
    shown = await bench.json("/pulls/1")
    assert (shown["mergeable"], shown["mergeable_state"]) == (False, "dirty")
    refused = await bench.call("PUT", "/pulls/1/merge", json={})
    assert (refused.status_code, refused.json()["message"]) == (405, "Pull Request is not mergeable")


async def test_required_status_checks_block_the_merge_until_green(bench: Workbench) -> None:
    head = await feature(bench)
    protection = {
        "required_status_checks": {"strict": False, "contexts": ["ci"]},
        "enforce_admins": True,
        "required_pull_request_reviews": None,
        "restrictions": None,
    }
    put_answer = await bench.call("PUT", "/branches/main/protection", json=protection)
    assert put_answer.status_code == 200
    assert (await bench.json("/branches/main"))["protected"] is True
    await bench.call("POST", "/pulls", json={"title": "Add", "head": "feature", "base": "main"})
    assert (await bench.json("/pulls/1"))["mergeable_state"] == "blocked"
    refused = await bench.call("PUT", "/pulls/1/merge", json={})
    assert (refused.status_code, refused.json()["message"]) == (405, 'Required status check "ci" is expected.')
    assert (await bench.json(f"/commits/{head}/status"))["state"] == "pending"
    assert (
        await bench.call("POST", f"/statuses/{head}", json={"state": "success", "context": "ci"})
    ).status_code == 201
    assert (await bench.json(f"/commits/{head}/status"))["state"] == "success"
    assert (await bench.call("PUT", "/pulls/1/merge", json={})).status_code == 200


async def test_secrets_are_never_shown_and_must_be_sealed_for_the_repository(bench: Workbench) -> None:
    assert (await bench.put_secret("token", "very secret")).status_code == 201
    assert (await bench.put_secret("TOKEN", "other secret")).status_code == 204
    listed = await bench.call("GET", "/actions/secrets")
    assert [item["name"] for item in listed.json()["secrets"]] == ["TOKEN"]
    assert "secret" not in (await bench.call("GET", "/actions/secrets/TOKEN")).text
    key = await bench.json("/actions/secrets/public-key")
    plain = {"encrypted_value": base64.b64encode(b"not sealed").decode(), "key_id": key["key_id"]}
    assert (await bench.call("PUT", "/actions/secrets/BAD", json=plain)).status_code == 422
    assert (await bench.put_secret("GITHUB_X", "no")).status_code == 422
    assert (await bench.call("DELETE", "/actions/secrets/TOKEN")).status_code == 204
    assert (await bench.call("GET", "/actions/secrets/TOKEN")).status_code == 404


async def test_answers_carry_limits_and_etags_and_pages_are_linked(bench: Workbench) -> None:
    await feature(bench, branch="b1")
    await feature(bench, branch="b2")
    first = await bench.call("GET", "/branches?per_page=2")
    assert [item["name"] for item in first.json()] == ["b1", "b2"]
    assert '?per_page=2&page=2>; rel="next"' in first.headers["link"]
    assert int(first.headers["x-ratelimit-limit"]) == 5000
    assert int(first.headers["x-ratelimit-used"]) + int(first.headers["x-ratelimit-remaining"]) == 5000
    again = await bench.call("GET", "/branches?per_page=2", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["x-ratelimit-used"] == first.headers["x-ratelimit-used"]
    limits = (await bench.client.get("/rate_limit")).json()
    assert str(limits["rate"]["used"]) == first.headers["x-ratelimit-used"]


async def test_every_address_of_the_emulator_is_one_of_githubs(github_description: GitHubDescription) -> None:
    unknown = []
    for router in ROUTERS:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            path = re.sub(r"\{[^}]+\}", "1", route.path)
            unknown += [
                f"{method} {route.path}"
                for method in sorted(route.methods or ())
                if github_description.api.operation(method, path) is None
            ]
    # The signed addresses are nobody's business, and the root of a repository is described with a slash at its end.
    assert unknown == ["GET /_results/{kind}/{name}", "GET /repos/{owner}/{repo}/contents"]


async def test_bad_requests_get_github_s_error_shape(bench: Workbench) -> None:
    async with httpx.AsyncClient(base_url=bench.base_url) as anonymous:
        answer = await anonymous.get("/repos/acme/demo")
        assert (answer.status_code, answer.json()["message"]) == (401, "Requires authentication")
    broken = await bench.call("POST", "/pulls", content=b"{", headers={"content-type": "application/json"})
    assert (broken.status_code, broken.json()["message"]) == (400, "Problems parsing JSON")
    missing = await bench.call("POST", "/pulls", json={"title": "x"})
    assert missing.status_code == 422
    assert '"head" wasn\'t supplied.' in missing.json()["message"]
    unknown = await bench.client.get("/no/such/thing")
    assert (unknown.status_code, unknown.json()["message"]) == (404, "Not Found")
