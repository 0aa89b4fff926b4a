"""Applications stay up, run once, leave nothing behind, and cannot look at each other."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
from pathlib import Path

import pytest

from infra_service.testing import Appd, fetch, release, wait_until
from shared.runtime.ports import free_port
from shared.testing.processes import is_running

pytestmark = pytest.mark.service
SHA = "c" * 40
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="users of their own need root")


def _pid(appd: Appd) -> int | None:
    pid: int | None = appd.apps()[0]["pid"]
    return pid


def _running(appd: Appd, name: str = "birds") -> list[int]:
    """Return the processes of an application, found by its folder in their command lines."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                command = (entry / "cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if f"{appd.root}/releases/{name}/".encode() in command:
                found.append(int(entry.name))
    return found


def test_a_killed_application_is_started_again(appd: Appd) -> None:
    port = free_port()
    appd.deploy(SHA, release(), port)
    fetch(port, "/count")
    first = _pid(appd)
    assert first is not None
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: _pid(appd) not in (None, first))
    wait_until(lambda: len(_running(appd)) == 1)
    assert appd.apps()[0]["restarts"] == 1


def test_a_restart_keeps_the_data(appd: Appd) -> None:
    port = free_port()
    appd.deploy(SHA, release(), port)
    fetch(port, "/count")
    before = _pid(appd)
    status, _ = appd.request("POST", "/apps/birds/restart")
    assert status == 200
    assert _pid(appd) != before
    assert fetch(port, "/count") == "2"


def test_a_killed_daemon_finds_its_applications_and_runs_them_once(appd: Appd) -> None:
    port = free_port()
    appd.deploy(SHA, release(), port)
    fetch(port, "/count")
    orphan = _running(appd)
    appd.end(signal.SIGKILL)
    assert _running(appd) == orphan
    appd.start()
    wait_until(lambda: _pid(appd) is not None and len(_running(appd)) == 1)
    assert _running(appd) != orphan
    appd.request("POST", "/apps/birds/restart")
    assert fetch(port, "/count") == "2"


def test_sigterm_leaves_no_process(appd: Appd) -> None:
    port = free_port()
    appd.deploy(SHA, release(), port)
    child = int(fetch(port, "/child"))
    assert is_running(child)
    assert appd.end() == 0
    assert _running(appd) == []
    assert not is_running(child)


def test_a_new_program_ends_the_daemon_and_its_applications_run_again_with_the_next(appd: Appd) -> None:
    port = free_port()
    appd.deploy(SHA, release(), port)
    fetch(port, "/count")
    assert appd.process is not None
    program = appd.root / "bin" / "appd"
    other = program.with_name("appd.new")
    shutil.copyfile(program, other)
    other.rename(program)
    assert appd.process.wait(20) == 0
    assert _running(appd) == []
    appd.start()
    appd.request("POST", "/apps/birds/restart")
    assert fetch(port, "/count") == "2"


def test_a_second_daemon_does_not_start(appd: Appd) -> None:
    command = [appd.python, str(appd.root / "bin/appd"), "--root", str(appd.root)]
    second = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert second.returncode == 1
    assert "another appd" in second.stderr


def test_without_a_configuration_it_says_what_is_missing(open_folder: Path) -> None:
    appd = Appd(open_folder)
    appd.configure()
    (open_folder / "etc/appd.json").unlink()
    command = [appd.python, str(open_folder / "bin/appd"), "--root", str(open_folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert "appd.json" in done.stderr


def test_the_log_of_an_application_can_be_read(appd: Appd) -> None:
    appd.deploy(SHA, release(), free_port())
    status, text = appd.request("GET", "/apps/birds/log?tail=1000")
    assert status == 200
    assert f"serving {SHA}" in text
    assert appd.request("GET", "/apps/nobody/log")[0] == 404


@as_root
def test_each_application_has_a_user_and_cannot_read_anothers_data(appd: Appd) -> None:
    ports = {"birds": free_port(), "trees": free_port()}
    for app, port in ports.items():
        assert appd.deploy(SHA, release(), port, app=app, env={"SECRET": f"of-{app}"})[0] == 200
        fetch(port, "/count")
    uids = {app: int(fetch(port, "/uid")) for app, port in ports.items()}
    assert len(set(uids.values())) == 2
    assert min(uids.values()) >= 300_000_000
    reader = ports["trees"]
    for secret in ("apps/birds/data/count", "apps/birds/app.json", "releases/birds/" + SHA + "/app/main.py"):
        assert (appd.root / secret).exists()
        assert fetch(reader, f"/read?{appd.root / secret}") == "PermissionError"
    assert fetch(reader, f"/read?/proc/{_running(appd)[0]}/environ") == "PermissionError"
    assert fetch(reader, f"/read?{appd.root}/apps/trees/data/count") == "read 1"


@as_root
def test_a_user_id_is_never_given_twice(appd: Appd) -> None:
    first, second = free_port(), free_port()
    appd.deploy(SHA, release(), first)
    before = int(fetch(first, "/uid"))
    appd.end()
    appd.start()
    appd.deploy(SHA, release(), second, app="trees")
    assert int(fetch(second, "/uid")) == before + 1


@as_root
def test_a_root_that_others_cannot_reach_is_refused(appd: Appd) -> None:
    appd.end()
    appd.root.chmod(0o700)
    command = [appd.python, str(appd.root / "bin/appd"), "--root", str(appd.root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert f"chmod o+x {appd.root}" in done.stderr


def test_the_record_with_the_variables_is_private(appd: Appd) -> None:
    appd.deploy(SHA, release(), free_port(), env={"SECRET": "x"})
    mode = stat.S_IMODE((appd.root / "apps/birds/app.json").stat().st_mode)
    assert mode == 0o600
