"""Where everything lives under one home directory. Paths only; nothing is created on import."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Layout:
    """`home` is one stack's state; `shared_home` holds what several stacks may share (binaries, caches)."""

    home: Path
    shared_home: Path

    @property
    def postgres(self) -> Path:
        return self.home / "postgres"

    @property
    def redis(self) -> Path:
        return self.home / "redis"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def emulators(self) -> Path:
        return self.home / "emulators"

    @property
    def workers(self) -> Path:
        return self.home / "workers"

    @property
    def server(self) -> Path:
        return self.home / "server"

    @property
    def keys(self) -> Path:
        return self.home / "keys"

    @property
    def state_file(self) -> Path:
        return self.home / "stack.json"

    @property
    def lock_file(self) -> Path:
        return self.home / "stack.lock"

    @property
    def agents(self) -> Path:
        return self.shared_home / "agents"

    @property
    def worker_bin(self) -> Path:
        """The only directory beside the system's that is on a worker's PATH."""
        return self.shared_home / "worker-bin"

    @property
    def runner_caches(self) -> Path:
        """What the emulated workflows' jobs install from."""
        return self.shared_home / "runner-caches"

    def create(self) -> None:
        """Make the directories; keys stay private, the rest may be traversed by the stores' and workers' users."""
        for path in (self.home, self.shared_home, self.logs, self.emulators, self.workers, self.agents):
            path.mkdir(parents=True, exist_ok=True, mode=0o755)
        self.worker_bin.mkdir(exist_ok=True, mode=0o755)
        self.keys.mkdir(exist_ok=True, mode=0o700)
        self.keys.chmod(0o700)
