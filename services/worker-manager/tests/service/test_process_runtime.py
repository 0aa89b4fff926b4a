"""Process workers on a real host: kept apart, adopted after a crash of the manager, ended without a remainder."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from shared.testing.waiting import eventually
from worker_manager.container_config import WorkerContainerConfig
from worker_manager.errors import RuntimeFailed, RuntimeUnavailable
from worker_manager.runtime import processes
from worker_manager.runtime.directory import WorkerDirectory
from worker_manager.runtime.port import InstanceState, RuntimeEventKind, WorkerInstance, WorkerSpec
from worker_manager.runtime.process import ProcessRuntime, ProcessRuntimeOptions
from worker_manager.testing import folder_for_workers

pytestmark = pytest.mark.service
IS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not IS_ROOT, reason="only root can give workers users of their own")

SLEEP = "print('up', flush=True); import signal; signal.pause()"
STUBBORN = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True)\nwhile True: signal.pause()"
)
# A daemon in a session of its own, as an agent might leave it.
WITH_DAEMON = (
    "import subprocess, signal; subprocess.Popen(['setsid', 'sleep', '1000']); print('up', flush=True); signal.pause()"
)


def runtime_of(folder: Path, code: str = SLEEP) -> ProcessRuntime:
    return ProcessRuntime(
        ProcessRuntimeOptions(
            root=folder / "workers",
            command=(sys.executable, "-I", "-S", "-c", code),
            python=sys.executable,
            environment={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
            is_privileged=IS_ROOT,
        )
    )


class Host:
    """Runtimes on one folder, closed and swept at the end whatever a test did."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open: list[ProcessRuntime] = []

    async def runtime(self, code: str = SLEEP) -> ProcessRuntime:
        runtime = runtime_of(self.folder, code)
        await runtime.open()
        self._open.append(runtime)
        return runtime

    async def start(self, runtime: ProcessRuntime, worker_id: str = "w1", instructions: str = "") -> WorkerInstance:
        await runtime.create(
            WorkerSpec(
                worker_id=worker_id,
                image="any",
                container=WorkerContainerConfig(worker_id, "developer", "claude"),
                environment={"WORKER_ID": worker_id},
                instructions=instructions,
            )
        )
        instance = await runtime.start(worker_id)
        await eventually(lambda: "up" in self.directory(worker_id).log.read_text())
        return instance

    def directory(self, worker_id: str = "w1") -> WorkerDirectory:
        return WorkerDirectory(self.folder / "workers", worker_id)

    def members(self, worker_id: str = "w1") -> list[int]:
        return processes.living(self.directory(worker_id).members())

    async def sweep(self) -> None:
        for runtime in self._open:
            await runtime.close()
        last = runtime_of(self.folder)
        await last.open()
        for instance in await last.list():
            await last.remove(instance.worker_id)
        await last.close()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    with folder_for_workers() as folder:
        yield folder


@pytest.fixture
async def host(open_folder: Path) -> AsyncIterator[Host]:
    host = Host(open_folder)
    yield host
    await host.sweep()


async def death(runtime: ProcessRuntime) -> tuple[str, int | None]:
    async with asyncio.timeout(10):
        async for event in runtime.events():
            if event.kind is RuntimeEventKind.DIED:
                return event.worker_id, event.exit_code
    raise AssertionError("the events ended")


async def test_a_worker_sees_its_own_environment_and_nothing_of_ours(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MANAGERS_SECRET", "s3cret-of-the-manager")
    instance = await host.start(await host.runtime())
    environ = Path(f"/proc/{instance.pid}/environ").read_bytes().decode().split("\0")
    names = {entry.partition("=")[0] for entry in environ if entry}
    assert names == {
        *("PATH", "LANG", "WORKER_ID", "HOME", "TMPDIR", "WORKSPACE", "UV_CACHE_DIR", "USER", "LOGNAME", "SHELL")
    }
    supervised = host.directory().supervised()
    assert supervised is not None
    assert Path(f"/proc/{supervised.shim.pid}/environ").read_bytes() == b""


async def test_instructions_are_in_the_file_the_agent_reads(host: Host) -> None:
    await host.start(await host.runtime(), instructions="Be brief.")
    assert (host.directory().workspace / "CLAUDE.md").read_text() == "Be brief."


async def test_a_worker_can_gain_no_rights_and_has_no_core_dumps(host: Host) -> None:
    instance = await host.start(await host.runtime())
    status = Path(f"/proc/{instance.pid}/status").read_text()
    assert "NoNewPrivs:\t1" in status
    limits = Path(f"/proc/{instance.pid}/limits").read_text()
    assert any(line.split()[4:6] == ["0", "0"] for line in limits.splitlines() if line.startswith("Max core"))


@needs_root
async def test_every_worker_is_a_user_of_its_own_without_groups_or_capabilities(host: Host) -> None:
    runtime = await host.runtime()
    instances = [await host.start(runtime, worker_id) for worker_id in ("w1", "w2")]
    uids = set()
    for instance in instances:
        fields = dict(
            line.split(":\t", 1)
            for line in Path(f"/proc/{instance.pid}/status").read_text().splitlines()
            if ":\t" in line
        )
        uids.add(fields["Uid"])
        assert fields["Groups"].strip() == ""
        assert {fields[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert len(uids) == 2
    assert "0" not in {number for uid in uids for number in uid.split()}


@needs_root
async def test_one_worker_can_neither_read_nor_signal_another(host: Host) -> None:
    runtime = await host.runtime()
    await host.start(runtime, "w1", instructions="secret plans")
    second = await host.start(runtime, "w2")
    for command in (
        ["cat", str(host.directory("w2").workspace)],
        ["ls", str(host.directory("w2").home)],
        ["cat", str(host.directory("w2").run / "spec.json")],
        ["cat", str(host.directory("w1").run / "spec.json")],
        ["cat", f"/proc/{second.pid}/environ"],
        ["kill", str(second.pid)],
    ):
        result = await runtime.exec("w1", command)
        assert result.exit_code != 0, command
    assert (await runtime.exec("w1", ["cat", "CLAUDE.md"])).output == "secret plans"


@needs_root
async def test_user_ids_are_not_used_again_at_once(host: Host) -> None:
    runtime = await host.runtime()
    await host.start(runtime, "w1")
    first = host.directory("w1").spec()
    await runtime.remove("w1")
    await host.start(runtime, "w2")
    second = host.directory("w2").spec()
    assert first is not None
    assert second is not None
    assert first.uid != second.uid


async def test_what_a_worker_started_ends_with_it(host: Host) -> None:
    runtime = await host.runtime(WITH_DAEMON)
    instance = await host.start(runtime)
    await eventually(lambda: len(host.members()) == 2)
    assert instance.pid is not None
    os.kill(instance.pid, signal.SIGKILL)
    assert await death(runtime) == ("w1", 137)
    assert host.members() == []


async def test_a_worker_whose_supervisor_is_killed_ends_with_it_and_is_told_as_killed(host: Host) -> None:
    runtime = await host.runtime(WITH_DAEMON)
    await host.start(runtime)
    await eventually(lambda: len(host.members()) == 2)
    supervised = host.directory().supervised()
    assert supervised is not None
    os.kill(supervised.shim.pid, signal.SIGKILL)
    assert await death(runtime) == ("w1", None)
    assert host.members() == []


async def test_a_worker_that_ignores_the_request_to_end_is_killed_after_the_grace(host: Host) -> None:
    runtime = await host.runtime(STUBBORN)
    await host.start(runtime)
    await runtime.stop("w1", grace_seconds=0.2)
    assert await death(runtime) == ("w1", 137)
    assert host.members() == []


async def test_the_exit_code_is_the_workers(host: Host) -> None:
    runtime = await host.runtime("import sys; print('up', flush=True); sys.exit(7)")
    await host.start(runtime)
    assert await death(runtime) == ("w1", 7)


async def test_a_command_that_does_not_exist_is_a_failed_start(host: Host) -> None:
    runtime = ProcessRuntime(
        ProcessRuntimeOptions(
            root=host.folder / "workers", command=("/nowhere/python",), python=sys.executable, is_privileged=IS_ROOT
        )
    )
    await runtime.open()
    try:
        with pytest.raises(RuntimeFailed, match="/nowhere/python"):
            await host.start(runtime)
    finally:
        await runtime.remove("w1")
        await runtime.close()


async def test_workers_outlive_the_manager_and_are_adopted_by_the_next(host: Host) -> None:
    first = await host.runtime()
    instance = await host.start(first)
    await first.close()
    second = await host.runtime()
    assert await second.list() == [instance]
    assert instance.pid is not None
    os.kill(instance.pid, signal.SIGKILL)
    assert await death(second) == ("w1", 137)


async def test_a_death_while_no_manager_was_there_is_told_when_one_comes(host: Host) -> None:
    first = await host.runtime()
    instance = await host.start(first)
    await first.close()
    assert instance.pid is not None
    os.kill(instance.pid, signal.SIGTERM)
    await eventually(lambda: (host.directory().run / "exit_code").exists())
    assert await death(await host.runtime()) == ("w1", 143)


async def test_a_process_that_took_over_the_pid_is_not_the_worker(host: Host) -> None:
    runtime = await host.runtime()
    await host.start(runtime)
    supervised = host.directory().supervised()
    assert supervised is not None
    other = processes.ProcessIdentity(supervised.shim.pid, supervised.shim.start_ticks + 1, supervised.shim.boot_id)
    before_boot = processes.ProcessIdentity(supervised.shim.pid, supervised.shim.start_ticks, "another-boot")
    assert supervised.shim.is_alive()
    assert not other.is_alive()
    assert not before_boot.is_alive()


async def test_starts_at_the_same_time_make_one_process(host: Host) -> None:
    runtime = await host.runtime()
    await host.start(runtime)
    await asyncio.gather(*(runtime._launcher.start(host.directory().run) for _ in range(3)))
    assert len(host.members()) == 1


async def test_a_directory_belongs_to_one_manager(host: Host) -> None:
    await host.runtime()
    with pytest.raises(RuntimeUnavailable, match="owns"):
        await runtime_of(host.folder).open()


async def test_pausing_really_stops_the_processes(host: Host) -> None:
    runtime = await host.runtime(WITH_DAEMON)
    await host.start(runtime)
    await eventually(lambda: len(host.members()) == 2)
    await runtime.pause("w1")

    def states() -> set[str]:
        texts = [Path(f"/proc/{pid}/stat").read_text() for pid in host.members()]
        return {text.rpartition(")")[2].split()[0] for text in texts}

    await eventually(lambda: states() == {"T"})
    second_look = await runtime.inspect("w1")
    assert second_look is not None
    assert second_look.state is InstanceState.PAUSED
    await runtime.unpause("w1")
    await eventually(lambda: states() == {"S"})


@needs_root
async def test_what_a_worker_left_in_shared_temporary_folders_goes_with_it(host: Host) -> None:
    runtime = await host.runtime()
    await host.start(runtime)
    left = Path("/tmp") / f"left-by-{host.folder.name}"
    try:
        assert (await runtime.exec("w1", ["mkdir", str(left)])).exit_code == 0
        await runtime.remove("w1")
        assert not left.exists()
        assert not host.directory().path.exists()
    finally:
        if left.exists():
            left.rmdir()


async def test_an_id_that_would_leave_the_folder_is_refused(host: Host) -> None:
    runtime = await host.runtime()
    for worker_id in ("../w1", "..", "a/b", ".lock"):
        with pytest.raises(RuntimeFailed):
            await runtime.inspect(worker_id)
