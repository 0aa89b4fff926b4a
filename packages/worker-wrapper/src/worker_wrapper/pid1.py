"""The duties of a container's first process: adopt orphans and reap them, never a child that asyncio waits for."""

from __future__ import annotations

import asyncio
import os
import signal

from worker_wrapper.proc_table import processes
from worker_wrapper.process import ChildProcesses

PR_SET_CHILD_SUBREAPER = 36
RETRY_SECONDS = 0.2


def adopt_orphans() -> bool:
    """Make orphaned descendants this process's children; True when it is, or now became, their adopter."""
    if os.getpid() == 1:
        return True
    import ctypes  # not at the top: a healthcheck does not need it

    try:
        libc = ctypes.CDLL(None, use_errno=True)
        return int(libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)) == 0
    except (OSError, AttributeError):
        return False


class OrphanReaper:
    """Reaps adopted zombies on SIGCHLD."""

    def __init__(self, children: ChildProcesses) -> None:
        self._children = children
        self._loop: asyncio.AbstractEventLoop | None = None
        self._retry: asyncio.TimerHandle | None = None

    def install(self) -> None:
        """Begin to reap on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_signal_handler(signal.SIGCHLD, self.reap)

    def uninstall(self) -> None:
        if self._loop is not None:
            self._loop.remove_signal_handler(signal.SIGCHLD)
        if self._retry is not None:
            self._retry.cancel()

    def reap(self) -> int:
        """Reap every zombie at the head of the queue that is not asyncio's; return how many."""
        count = 0
        while (pid := _next_zombie()) is not None:
            if self._children.is_starting or self._children.owns(pid):
                # asyncio is about to wait for this one; it may hide orphans behind it, so look again soon.
                self._look_again()
                break
            os.waitpid(pid, os.WNOHANG)
            count += 1
        return count

    def _look_again(self) -> None:
        if self._loop is not None:
            if self._retry is not None:
                self._retry.cancel()
            self._retry = self._loop.call_later(RETRY_SECONDS, self.reap)


def _next_zombie() -> int | None:
    """Return a child that has exited, without taking its exit code from whoever waits for it."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return found.si_pid if found is not None else None


def end_strays(children: ChildProcesses) -> list[int]:
    """Kill adopted processes that left their agent's group; return their ids."""
    own = [row.pid for row in processes() if row.parent == os.getpid()]
    strays = [pid for pid in own if not children.owns(pid)]
    for pid in strays:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    return strays
