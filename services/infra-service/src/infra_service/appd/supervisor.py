"""Keeps one process running: starts it again with growing pauses when it ends, until it is stopped."""

from __future__ import annotations

import signal
import subprocess
import threading
import time

from infra_service.appd.processes import Launch, kill_group, spawn

GRACE_SECONDS = 5.0
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
STABLE_SECONDS = 60.0


class Supervisor:
    """One launch, at most one process of it at a time. A stopped supervisor stays stopped."""

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.restarts = 0

    @property
    def pid(self) -> int | None:
        """Return the running process's id, None while there is none."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    def start(self) -> None:
        """Start the process and watch it."""
        self._thread.start()

    def stop(self) -> None:
        """End the whole group: TERM, five seconds, KILL. Returns when nothing of it is left."""
        with self._lock:
            self._stopping.set()
            process = self._process
            if process is not None:
                kill_group(process.pid, signal.SIGTERM)
        if not self._thread.is_alive():
            return
        self._thread.join(GRACE_SECONDS)
        if self._thread.is_alive() and process is not None:
            kill_group(process.pid, signal.SIGKILL)
            self._thread.join()

    def _run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            started = time.monotonic()
            with self._lock:
                if self._stopping.is_set():
                    return
                process = self._process = self._spawn()
            if process is not None:
                process.wait()
                # Children that outlived the leader would hold the port.
                kill_group(process.pid, signal.SIGKILL)
            if time.monotonic() - started > STABLE_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            if self._stopping.wait(pause):
                return
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            self.restarts += 1

    def _spawn(self) -> subprocess.Popen[bytes] | None:
        """Start the process; why that is impossible goes where its output would have gone."""
        try:
            return spawn(self._launch)
        except OSError as error:
            with self._launch.output.open("a", encoding="utf-8") as log:
                log.write(f"cannot be started: {error}\n")
            return None
