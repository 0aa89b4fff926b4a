"""Small parts of the GitHub emulator: App JWTs, tokens, file commands, log masks, date filters."""

import tempfile
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from emulators.github.auth import basic_password, verify_app_jwt
from emulators.github.errors import EmulatorError, StepError, Unauthorized, Unprocessable
from emulators.github.git_http import is_git
from emulators.github.models import Repository, Token, timestamp
from emulators.github.rest.actions import created_filter
from emulators.github.runner.file_commands import read_environment, read_pairs, read_paths
from emulators.github.runner.folders import runner_caches, runner_root
from emulators.github.runner.job_log import JobLog
from emulators.github.runner.processes import Account

NOW = 1_800_000_000


@pytest.fixture(scope="module")
def keys() -> tuple[str, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


def repository(name: str = "demo", owner: str = "acme", number: int = 1) -> Repository:
    return Repository(number, owner, name, None, True, "main", {}, b"", "", "", None)


def test_an_app_jwt_within_ten_minutes_is_accepted(keys: tuple[str, str]) -> None:
    for issuer in ("7", 7):
        claims = {"iat": NOW - 60, "exp": NOW + 600, "iss": issuer}
        encoded = jwt.encode({**claims, "iss": str(issuer)}, keys[0], algorithm="RS256")
        verify_app_jwt(encoded, 7, keys[1], lambda: NOW)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"exp": NOW - 1}, "'exp'"),
        ({"exp": NOW + 3600}, "too far in the future"),
        ({"iat": NOW + 600}, "'iat'"),
        ({"iss": "8"}, "'iss'"),
    ],
)
def test_a_jwt_with_a_bad_claim_is_refused(keys: tuple[str, str], change: dict[str, object], message: str) -> None:
    claims = {"iat": NOW, "exp": NOW + 300, "iss": "7"} | change
    encoded = jwt.encode(claims, keys[0], algorithm="RS256")
    with pytest.raises(Unauthorized, match=message):
        verify_app_jwt(encoded, 7, keys[1], lambda: NOW)


def test_a_jwt_of_another_key_or_algorithm_is_refused(keys: tuple[str, str]) -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    claims = {"iat": NOW, "exp": NOW + 300, "iss": "7"}
    signed_by_other = jwt.encode(claims, other, algorithm="RS256")
    symmetric = jwt.encode(claims, "k" * 32, algorithm="HS256")
    for encoded in (signed_by_other, symmetric, "ghs_token"):
        with pytest.raises(Unauthorized, match="could not be decoded"):
            verify_app_jwt(encoded, 7, keys[1], lambda: NOW)


def test_a_token_sees_its_repositories_and_nothing_of_others() -> None:
    everything = Token("d", "acme", None, {"contents": "read"}, NOW, False)
    one = Token("d", "Acme", frozenset({1}), {"contents": "write"}, NOW, False)
    assert everything.sees(repository())
    assert one.sees(repository())
    assert not one.sees(repository(number=2))
    assert not everything.sees(repository(owner="globex"))
    assert one.allows("contents", "read")
    assert not everything.allows("contents", "write")
    assert not everything.allows("secrets", "read")


def test_basic_credentials_give_the_password() -> None:
    assert basic_password("eC1hY2Nlc3MtdG9rZW46Z2hzX2E=") == "ghs_a"
    assert basic_password("%%%") is None
    assert basic_password("/w==") is None


@pytest.mark.parametrize(
    ("path", "belongs"),
    [
        ("/acme/demo.git/info/refs", True),
        ("/acme/demo/git-upload-pack", True),
        ("/acme/demo.git/git-receive-pack", True),
        ("/repos/acme/demo/git/refs", False),
        ("/repos/acme/demo", False),
        ("/acme/demo.git/objects/info/packs", False),
    ],
)
def test_git_paths_are_told_from_rest_paths(path: str, belongs: bool) -> None:
    assert is_git(path) is belongs


def test_outputs_are_pairs_or_blocks(tmp_path: Path) -> None:
    path = tmp_path / "output"
    path.write_text("a=1\n\nb<<END\nline 1\nc=not a pair\nEND\nd=x=y<<z\ne=\n")
    assert read_pairs(path) == {"a": "1", "b": "line 1\nc=not a pair", "d": "x=y<<z", "e": ""}


@pytest.mark.parametrize("text", ["no pair\n", "=x\n", "a<<END\nnever closed\n", "x" * 2_000_000])
def test_an_output_that_cannot_be_read_is_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "output"
    path.write_text(text)
    with pytest.raises(StepError):
        read_pairs(path)


def test_a_step_cannot_change_the_runner_s_own_variables(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text("GITHUB_SHA=x\nRUNNER_OS=y\nMINE=z\n")
    assert read_environment(path) == {"MINE": "z"}
    path.write_text("/a\n\n/b\n")
    assert read_paths(path) == ["/a", "/b"]


def test_secrets_are_masked_whole_line_by_line_and_as_json(tmp_path: Path) -> None:
    log = JobLog(tmp_path / "log")
    log.mask(["abc", "abcdef", "-----BEGIN-----\nmiddle part\n-----END-----", 'quo"te', ""])
    log.write('x abcdef y abc\n  middle part\n"quo\\"te" -----END-----')
    log.close()
    lines = [line.split(" ", 1)[1] for line in (tmp_path / "log").read_text().splitlines()]
    assert lines == ["x *** y ***", "  ***", '"***" ***']


def test_a_log_stops_growing(tmp_path: Path) -> None:
    log = JobLog(tmp_path / "log")
    for _ in range(20):
        log.write("x" * 2**20)
    log.close()
    assert (tmp_path / "log").stat().st_size < 18 * 2**20
    assert "the rest is left out" in (tmp_path / "log").read_text()[-200:]


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("2026-01-02", True),
        ("2026-01-03", False),
        (">=2026-01-02T10:00:00Z", True),
        (">2026-01-02T10:00:00Z", False),
        ("<=2026-01-02", True),
        ("<2026-01-02", False),
        (">=2026-01-02T12:00:00+02:00", True),
        ("2026-01-01..2026-01-02T09:00:00Z", False),
        ("2026-01-01..*", True),
        ("*..2026-01-01", False),
    ],
)
def test_created_filters_by_moment_day_or_range(text: str, accepted: bool) -> None:
    assert created_filter(text)("2026-01-02T10:00:00Z") is accepted


def test_a_created_that_is_no_date_is_refused() -> None:
    with pytest.raises(Unprocessable):
        created_filter(">=yesterday")


def test_the_runner_folder_moves_to_where_its_user_can_reach_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, reachable = tmp_path / "closed", tmp_path / "open"
    closed.mkdir(mode=0o700)
    reachable.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(reachable))
    account = Account(65534, 65534, "nobody")
    assert runner_root(closed, None, None) == closed / "runner"
    moved = runner_root(closed, None, account)
    assert moved.parent == reachable
    assert runner_root(closed, None, account) == moved
    with pytest.raises(EmulatorError, match="cannot reach"):
        runner_root(closed, closed / "mine", account)
    moved.rmdir()
    moved.symlink_to(closed)
    with pytest.raises(EmulatorError, match="belongs to somebody else"):
        runner_root(closed, None, account)


def test_caches_are_shared_where_the_runners_user_can_reach_them(tmp_path: Path) -> None:
    closed, root = tmp_path / "closed", tmp_path / "root"
    closed.mkdir(mode=0o700)
    account = Account(65534, 65534, "nobody")
    assert runner_caches(root, None, account) == root
    assert runner_caches(root, closed / "caches", account) == root
    assert runner_caches(root, closed / "caches", None) == closed / "caches"
    assert runner_caches(root, Path("/var/tmp/caches"), account) == Path("/var/tmp/caches")


def test_timestamps_look_like_github_s() -> None:
    assert timestamp(0) == "1970-01-01T00:00:00Z"
