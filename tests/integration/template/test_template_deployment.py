"""The workflows and the deploy program agree with each other and with the variables the project names."""

from __future__ import annotations

import importlib.util
import re
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.error import HTTPError

import pytest
import yaml

pytestmark = pytest.mark.integration


def workflow(tree: Path, name: str) -> dict[Any, Any]:
    """Parse a workflow; PyYAML reads the key `on` as true."""
    parsed = yaml.safe_load((tree / ".github/workflows" / name).read_text())
    assert isinstance(parsed, dict)
    return parsed


@pytest.fixture(scope="module")
def deploy(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    copy = shutil.copy(tree / "deploy/deploy.py", tmp_path_factory.mktemp("deploy"))  # loading it writes beside it
    spec = importlib.util.spec_from_file_location("template_deploy", copy)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_ci_tests_each_change_once(tree: Path) -> None:
    parsed = workflow(tree, "ci.yml")
    assert set(parsed[True]) == {"pull_request", "workflow_dispatch"}
    steps = parsed["jobs"]["test"]["steps"]
    assert steps[-1]["run"] == "make test"


def test_a_deploy_run_can_be_found_by_its_correlation(tree: Path) -> None:
    parsed = workflow(tree, "main.yml")
    assert set(parsed[True]["workflow_dispatch"]["inputs"]) == {"app", "sha", "port", "correlation"}
    assert "${{ inputs.correlation }}" in parsed["run-name"]
    assert parsed["jobs"]["deploy"]["steps"][0]["with"]["ref"] == "${{ inputs.sha }}"


def test_the_workflow_sets_exactly_what_the_program_reads(tree: Path) -> None:
    given = set(workflow(tree, "main.yml")["jobs"]["deploy"]["steps"][-1]["env"])
    text = (tree / "deploy/deploy.py").read_text()
    documented = set(re.findall(r"\b(?:DEPLOY_[A-Z]+|SECRETS_JSON)\b", text))
    assert given == documented == {f"DEPLOY_{n}" for n in ("APP", "SHA", "PORT", "URL", "TOKEN")} | {"SECRETS_JSON"}


def test_only_named_variables_reach_the_application(tree: Path, deploy: ModuleType) -> None:
    secrets = {"TELEGRAM_BOT_TOKEN": "1:x", "DEPLOY_TOKEN": "no", "github_token": "no", "PORT": "no"}
    example = (tree / ".env.example").read_text()
    assert deploy.application_environment(example, secrets) == {"TELEGRAM_BOT_TOKEN": "1:x"}


def test_a_literal_comes_from_the_example(deploy: ModuleType) -> None:
    example = "# literal: how many\nLIMIT=5 # at most\n# user: asked\nNAME=example\nPLAIN=1\n# generated\nKEY=made\n"
    assert deploy.application_environment(example, {"KEY": "k"}) == {"LIMIT": "5", "PLAIN": "1", "KEY": "k"}


class _Receiver(BaseHTTPRequestHandler):
    answers: list[int]
    seen: list[tuple[str, str, bytes]]

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        type(self).seen.append((self.path, self.headers["Authorization"], body))
        self.send_response(type(self).answers.pop(0))
        self.end_headers()
        self.wfile.write(b'{"url": "http://x/", "pid": 1}')

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[tuple[str, type[_Receiver]]]:
    handler = type("Receiver", (_Receiver,), {"answers": [], "seen": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", handler
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_server_that_asks_to_wait_is_asked_again(
    deploy: ModuleType, receiver: tuple[str, type[_Receiver]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, handler = receiver
    handler.answers[:] = [503, 200]
    monkeypatch.setattr(deploy, "PAUSE_SECONDS", 0.0)
    body = tmp_path / "body"
    body.write_bytes(b"tar")
    answer = deploy.deliver(f"{url}/apps/a/releases/b?port=1", "secret", body, {})
    assert answer["pid"] == 1
    assert handler.seen == [("/apps/a/releases/b?port=1", "Bearer secret", b"tar")] * 2


def test_a_refusal_is_final(deploy: ModuleType, receiver: tuple[str, type[_Receiver]], tmp_path: Path) -> None:
    url, handler = receiver
    handler.answers[:] = [502]
    body = tmp_path / "body"
    body.write_bytes(b"tar")
    with pytest.raises(HTTPError) as caught:
        deploy.deliver(url, "secret", body, {})
    caught.value.close()
    assert len(handler.seen) == 1


def test_no_concrete_application_is_named(tree: Path) -> None:
    texts = {path: path.read_text() for path in tree.rglob("*") if path.is_file()}
    assert not [path for path, text in texts.items() if "guest" in text.lower() or "guest" in path.name.lower()]


def test_the_answers_do_not_tell_where_they_were_given(tree: Path) -> None:
    answers = yaml.safe_load((tree / ".copier-answers.yml").read_text())
    assert set(answers) == {"project_name", "description", "modules"}
