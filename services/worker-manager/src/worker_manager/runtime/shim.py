"""The init of one process worker: drops its rights, starts it, outlives the manager, records how it ended.

Run by path with the standard library alone (`python -I -S shim.py start RUN_DIR`). It is the subreaper of all the
worker starts, so at the worker's end nothing of it is left; the exit code is on disk before this process ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import resource
import signal
import sys
import time
from typing import Any, NoReturn

PR_SET_PDEATHSIG = 1
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
LAST_CAPABILITY = 63
KILL_SECONDS = 10.0
STARTED = b"started"
SUPERVISOR_SIGNALS = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


def prctl(option: int, value: int) -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) == 0)


def write_atomically(path: str, content: object) -> None:
    """Write JSON for our eyes only, so that a reader sees all of it or nothing, also after a power cut."""
    with open(path + ".new", "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".new", path)


def start_ticks(pid: int) -> int:
    """Return the process's start in clock ticks since boot: with the pid it names the process."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        return int(file.read().rpartition(")")[2].split()[19])


def boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def drop_rights(spec: dict[str, Any]) -> None:
    """Become the worker's user, without groups, capabilities or a way back; set its limits."""
    os.umask(0o077)
    limits = spec["limits"]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    nofile = min(limits["nofile"], resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (nofile, nofile))
    os.setpriority(os.PRIO_PROCESS, 0, min(19, os.getpriority(os.PRIO_PROCESS, 0) + limits["nice"]))
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write(str(limits["oom_score_adj"]))
    if spec["uid"] is not None:
        # Processes are counted per user: for a user shared with others the limit would hit those.
        resource.setrlimit(resource.RLIMIT_NPROC, (limits["pids"], limits["pids"]))
        for capability in range(LAST_CAPABILITY + 1):
            if not prctl(PR_CAPBSET_DROP, capability):
                break
        os.setgroups([])
        os.setresgid(spec["gid"], spec["gid"], spec["gid"])
        os.setresuid(spec["uid"], spec["uid"], spec["uid"])
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def execute(spec: dict[str, Any], command: list[str]) -> NoReturn:
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    os.chdir(spec["cwd"])
    os.execvpe(command[0], command, spec["env"])  # noqa: S606 - no shell wanted


def start_worker(spec: dict[str, Any], report: int) -> tuple[int, int]:
    """Fork the worker, which waits until its pid is on disk; return (pid, descriptor that lets it go)."""
    wait_end, go_end = os.pipe()
    supervisor = os.getpid()
    pid = os.fork()
    if pid:
        os.close(wait_end)
        return pid, go_end
    try:
        os.close(go_end)
        os.setsid()
        drop_rights(spec)
        # After the change of user, which clears it.
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != supervisor or not os.read(wait_end, 1):
            os._exit(1)
        execute(spec, spec["command"])
    except (OSError, ValueError, KeyError) as error:
        os.write(report, f"cannot run {spec['command'][0]}: {error}".encode())
    finally:
        os._exit(127)


def children() -> list[int]:
    """Return our direct children that still run."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
            state, parent = file.read().rpartition(")")[2].split()[:2]
            if int(parent) == os.getpid() and state not in "ZX":
                found.append(int(name))
    return found


def end_descendants() -> None:
    """Kill until no child is left; orphans of killed children become ours and are killed in turn."""
    deadline = time.monotonic() + KILL_SECONDS
    while time.monotonic() < deadline:
        for pid in children():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.005)
        except ChildProcessError:
            return


def signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def reap(worker: int) -> int | None:
    """Reap all that ended; return the worker's wait status once it is among them."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return 0
        if pid == worker:
            return status
        if pid == 0:
            return None


def wait_for(worker: int, grace_seconds: float) -> int:
    """Wait for the worker, passing SIGTERM on and killing after the grace; return its wait status."""
    kill_at: float | None = None
    while True:
        status = reap(worker)
        if status is not None:
            return status
        timeout = 3600.0 if kill_at is None else max(0.0, kill_at - time.monotonic())
        received = signal.sigtimedwait(SUPERVISOR_SIGNALS, timeout)
        if received is not None and received.si_signo != signal.SIGCHLD and kill_at is None:
            signal_group(worker, signal.SIGTERM)
            signal_group(worker, signal.SIGCONT)
            kill_at = time.monotonic() + grace_seconds
        if kill_at is not None and time.monotonic() >= kill_at:
            signal_group(worker, signal.SIGKILL)
            kill_at = time.monotonic() + 1.0


def supervise(run_dir: str, spec: dict[str, Any], report: int) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, SUPERVISOR_SIGNALS)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    log = os.open(spec["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    worker, go_end = start_worker(spec, report)
    write_atomically(
        os.path.join(run_dir, "pid"),
        {
            "pid": os.getpid(),
            "start_ticks": start_ticks(os.getpid()),
            "boot_id": boot_id(),
            "worker_pid": worker,
        },
    )
    os.write(go_end, b"g")
    os.close(go_end)
    # Closed in the worker by a successful exec: the launcher then reads the end of the pipe.
    os.write(report, STARTED)
    os.close(report)
    status = wait_for(worker, spec["grace_seconds"])
    end_descendants()
    code = os.waitstatus_to_exitcode(status)
    content = {"exit_code": code if code >= 0 else 128 - code, "at": time.time()}
    write_atomically(os.path.join(run_dir, "exit_code"), content)


def start(run_dir: str) -> int:
    """Start the supervisor and return once the worker runs; 0 also when it already does."""
    lock = os.open(os.path.join(run_dir, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 0
    if os.path.exists(os.path.join(run_dir, "exit_code")):
        return 0
    with open(os.path.join(run_dir, "spec.json"), encoding="utf-8") as file:
        spec = json.load(file)
    read_end, report = os.pipe()
    if os.fork() == 0:
        os.close(read_end)
        os.setsid()
        os.chdir("/")
        supervise(run_dir, spec, report)
        os._exit(0)
    os.close(report)
    with os.fdopen(read_end, "rb") as pipe:
        told = pipe.read()
    if told == STARTED:
        return 0
    sys.stderr.write(told.replace(STARTED, b"").decode(errors="replace") or "the worker's supervisor ended early")
    return 1


def run_inside(run_dir: str, command: list[str]) -> NoReturn:
    """Replace this process by a command with the worker's rights, environment and directory."""
    with open(os.path.join(run_dir, "spec.json"), encoding="utf-8") as file:
        spec = json.load(file)
    drop_rights(spec)
    execute(spec, command)


if __name__ == "__main__":
    if sys.argv[1] == "start":
        sys.exit(start(sys.argv[2]))
    run_inside(sys.argv[2], sys.argv[3:])
