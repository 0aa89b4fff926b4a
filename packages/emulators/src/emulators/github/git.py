"""Runs the real git, with none of the host's configuration."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from emulators.github.errors import GitError


@dataclass(frozen=True)
class GitAnswer:
    """What a git process left behind."""

    code: int
    stdout: bytes

    @property
    def text(self) -> str:
        """Return stdout as text, without the last line break."""
        return self.stdout.decode(errors="replace").removesuffix("\n")


@dataclass(frozen=True)
class Git:
    """git with a fixed environment."""

    environment: Mapping[str, str]

    async def run(
        self,
        *arguments: str,
        directory: Path,
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
        codes: Sequence[int] = (0,),
    ) -> GitAnswer:
        """Run one command in a directory; raises GitError when it ends with another code than expected."""
        process = await asyncio.create_subprocess_exec(
            "git",
            *arguments,
            cwd=directory,
            env={**self.environment, **(environment or {})},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            stdout, stderr = await process.communicate(stdin)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode is not None
        if process.returncode not in codes:
            raise GitError(arguments, process.returncode, stderr.decode(errors="replace"))
        return GitAnswer(process.returncode, stdout)
