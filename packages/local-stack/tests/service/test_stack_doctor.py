"""The doctor names what is missing, with its fix."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from local_stack.doctor import Finding, blocked_parent, examine, require
from local_stack.errors import Precondition
from local_stack.layout import Layout
from local_stack.settings import StackSettings

pytestmark = pytest.mark.service


def _layout(home: Path) -> Layout:
    return Layout(home=home, shared_home=home)


def _settings(home: Path, **values: object) -> StackSettings:
    return StackSettings.model_validate({"codegen_home": home, **values})


def _finding(findings: list[Finding], name: str) -> Finding:
    return next(finding for finding in findings if finding.name == name)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("ANTHROPIC_API_KEY", "TELEGRAM_BOT_TOKEN", "GITHUB_APP_ID", "TELEGRAM_ALLOWED_USERS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


def test_a_missing_tool_is_named_with_its_package(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(home))
    git = _finding(examine(_settings(home), _layout(home)), "git")
    assert (git.ok, git.detail, git.fix) == (False, "not found", "apt-get install git")


def test_a_folder_others_may_not_enter_is_found_on_the_way(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    closed.chmod(0o700)
    assert blocked_parent(closed / "home" / "deeper") == closed


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the stores and workers as other users")
def test_a_home_behind_a_closed_folder_is_refused_with_the_way_out(home: Path) -> None:
    home.mkdir(mode=0o700)
    home.chmod(0o700)
    with pytest.raises(Precondition, match="other users can reach the home") as refused:
        require(_settings(home), _layout(home))
    assert "CODEGEN_HOME" in refused.value.fix


def test_damaged_credentials_are_a_finding(home: Path) -> None:
    layout = _layout(home)
    layout.create()
    (layout.keys / "credentials.json").write_text("{")
    finding = _finding(examine(_settings(home), layout), "credentials")
    assert not finding.ok
    assert "credentials.json is damaged" in finding.detail


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"anthropic_api_key": "sk-test"}, "sandbox for a real model"),
        ({"telegram_bot_token": "1:x"}, "Telegram users"),
        ({"github_app_id": "7"}, "GitHub App"),
        ({"github_app_id": "7", "github_owner": "me", "github_app_private_key_file": "/no/such.pem"}, "GitHub App"),
    ],
)
def test_half_a_real_account_is_named_with_what_is_missing(home: Path, values: dict[str, object], name: str) -> None:
    finding = _finding(examine(_settings(home, **values), _layout(home)), name)
    assert not finding.ok
    assert finding.fix


def test_a_real_model_is_fine_once_the_lack_of_a_sandbox_is_accepted(home: Path) -> None:
    findings = examine(_settings(home, anthropic_api_key="sk-test", unsandboxed=True), _layout(home))
    assert _finding(findings, "sandbox for a real model").ok
