"""Releases: sent, running, replaced, rolled back; and what is refused."""

from __future__ import annotations

import io
import json
import os
import tarfile

import pytest

from infra_service.testing import APP, BROKEN_APP, Appd, fetch, release
from shared.runtime.ports import free_port

pytestmark = pytest.mark.service
SHA, NEXT = "a" * 40, "b" * 40


def test_a_release_runs_with_its_variables_and_nothing_else(appd: Appd) -> None:
    port = free_port()
    status, answer = appd.deploy(SHA, release(), port, env={"GREETING": "hello", "APP_SHA": "forged"})
    assert status == 200, answer
    assert answer["url"] == f"http://127.0.0.1:{port}/"
    environment = json.loads(fetch(port, "/env"))
    assert (environment["GREETING"], environment["APP_SHA"]) == ("hello", SHA)
    assert environment["DATA_DIR"] == str(appd.root / "apps/birds/data")
    assert "PLATFORM_SECRET" not in environment
    assert (appd.root / "apps/birds/current").resolve() == appd.root / "releases/birds" / SHA


def test_data_survives_a_new_release(appd: Appd) -> None:
    port = free_port()
    appd.deploy(SHA, release(), port)
    assert fetch(port, "/count") == "1"
    status, _ = appd.deploy(NEXT, release(APP + "# next\n"), port)
    assert status == 200
    assert json.loads(fetch(port, "/version")) == {"sha": NEXT}
    assert fetch(port, "/count") == "2"


@pytest.mark.parametrize("app", [BROKEN_APP, APP.replace('"APP_SHA"', '"HOST"')], ids=["crashes", "wrong version"])
def test_a_bad_release_leaves_the_previous_one_running(appd: Appd, app: str) -> None:
    port = free_port()
    appd.deploy(SHA, release(), port)
    status, answer = appd.deploy(NEXT, release(app), port)
    assert status == 502
    assert "RuntimeError: this release is broken" in answer["log"] or "did not answer" in answer["error"]
    appd.request("POST", "/apps/birds/restart")
    assert json.loads(fetch(port, "/version")) == {"sha": SHA}
    assert [app["sha"] for app in appd.apps()] == [SHA]


def test_a_bad_first_release_is_forgotten(appd: Appd) -> None:
    status, _ = appd.deploy(SHA, release(BROKEN_APP), free_port())
    assert status == 502
    assert appd.apps() == []


def test_the_same_release_again_changes_nothing(appd: Appd) -> None:
    port, body = free_port(), release()
    _, first = appd.deploy(SHA, body, port)
    status, second = appd.deploy(SHA, body, port)
    assert (status, second) == (200, first)


def test_changed_variables_restart_the_same_release(appd: Appd) -> None:
    port, body = free_port(), release()
    appd.deploy(SHA, body, port, env={"A": "1"})
    status, _ = appd.deploy(SHA, body, port, env={"A": "2"})
    assert status == 200
    assert json.loads(fetch(port, "/env"))["A"] == "2"


def test_a_wrong_token_is_refused_before_anything_happens(appd: Appd) -> None:
    status, _ = appd.deploy(SHA, release(), free_port(), token="wrong")
    assert status == 401
    assert not (appd.root / "apps/birds").exists()
    assert appd.request("GET", "/apps", token="")[0] == 401
    assert appd.request("GET", "/livez", token="")[0] == 200


def test_a_new_token_holds_at_once(appd: Appd) -> None:
    appd.configure("another-token")
    assert appd.request("GET", "/apps")[0] == 401
    assert appd.request("GET", "/apps", token="another-token")[0] == 200


def _evil(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, link
        tar.addfile(member, io.BytesIO(b""))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "body",
    [
        _evil("../../escaped"),
        _evil("/tmp/appd-escaped"),
        _evil("a/../../escaped"),
        _evil("link", tarfile.SYMTYPE, "../../../etc/passwd"),
        _evil("link", tarfile.SYMTYPE, "/etc/passwd"),
        _evil("link", tarfile.LNKTYPE, "requirements.txt"),
        _evil("pipe", tarfile.FIFOTYPE),
        b"this is no archive",
        release()[:200],
    ],
    ids=["up", "absolute", "up in between", "link out", "absolute link", "hard link", "pipe", "garbage", "cut"],
)
def test_what_is_not_a_release_is_refused_and_leaves_nothing(appd: Appd, body: bytes) -> None:
    status, answer = appd.deploy(SHA, body, free_port())
    assert status == 422, answer
    assert not list(appd.root.rglob("escaped"))
    assert not os.path.lexists("/tmp/appd-escaped")
    assert [path.name for path in (appd.root / "releases/birds").iterdir()] == []


def test_an_inner_link_is_kept(appd: Appd) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(release())) as given, tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        link = tarfile.TarInfo("docs/GUIDE.md")
        link.type, link.linkname = tarfile.SYMTYPE, "../requirements.txt"
        tar.addfile(link)
        for member in given:
            tar.addfile(member, given.extractfile(member))
    status, answer = appd.deploy(SHA, buffer.getvalue(), free_port())
    assert status == 200, answer
    assert (appd.root / "releases/birds" / SHA / "docs/GUIDE.md").is_symlink()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/apps/Birds/releases/aaaaaaa?port=20000", 400),
        ("/apps/..%2Fx/releases/aaaaaaa?port=20000", 400),
        ("/apps/birds/releases/main?port=20000", 400),
        ("/apps/birds/releases/aaaaaaa?port=80", 400),
        ("/apps/birds/releases/aaaaaaa", 400),
        ("/apps/birds/releases/aaaaaaa?port=x", 400),
        ("/elsewhere", 404),
    ],
)
def test_a_malformed_request_is_refused(appd: Appd, path: str, status: int) -> None:
    assert appd.request("PUT", path, release())[0] == status


def test_a_port_of_another_application_is_refused(appd: Appd) -> None:
    port = free_port()
    appd.deploy(SHA, release(), port)
    status, answer = appd.deploy(SHA, release(), port, app="trees")
    assert status == 400
    assert "belongs to birds" in answer["error"]


def test_old_releases_are_removed(appd: Appd) -> None:
    port = free_port()
    shas = [digit * 40 for digit in "12345"]
    for number, sha in enumerate(shas):
        assert appd.deploy(sha, release(f"{APP}# {number}\n"), port)[0] == 200
    kept = {path.name for path in (appd.root / "releases/birds").iterdir() if path.name in shas}
    assert kept == set(shas[-3:])


def test_a_requirement_that_cannot_be_met_is_told_with_the_log(appd: Appd) -> None:
    port = free_port()
    appd.deploy(SHA, release(), port)
    body = release(extra={"requirements.txt": "./not-there\n"})
    status, answer = appd.deploy(NEXT, body, port)
    assert status == 422
    assert "not-there" in answer["log"]
    assert json.loads(fetch(port, "/version")) == {"sha": SHA}
