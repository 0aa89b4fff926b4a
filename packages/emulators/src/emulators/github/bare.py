"""One bare repository: refs, trees, commits and comparisons, all by asking git."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from emulators.github.git import Git

SHA = re.compile(r"[0-9a-f]{40}")
NAME_STATUS = {"A": "added", "D": "removed", "M": "modified", "T": "changed", "R": "renamed", "C": "copied"}
LOG_FORMAT = "%H%x00%T%x00%P%x00%an%x00%ae%x00%aI%x00%cn%x00%ce%x00%cI%x00%B"


@dataclass(frozen=True)
class Identity:
    """An author or committer; date None means now."""

    name: str
    email: str
    date: str | None = None

    def environment(self, role: str) -> dict[str, str]:
        """Return the variables git reads for a role, AUTHOR or COMMITTER."""
        given = {f"GIT_{role}_NAME": self.name, f"GIT_{role}_EMAIL": self.email}
        return given if self.date is None else {**given, f"GIT_{role}_DATE": self.date}


@dataclass(frozen=True)
class Commit:
    """A commit as REST shows it."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    author: Identity
    committer: Identity
    message: str


@dataclass(frozen=True)
class FileChange:
    """One file of a diff."""

    sha: str
    filename: str
    previous: str | None
    status: str
    additions: int
    deletions: int
    patch: str | None


@dataclass(frozen=True)
class TreeEntry:
    """One entry of a directory."""

    mode: str
    type: str
    sha: str
    size: int
    path: str


@dataclass(frozen=True)
class BareRepository:
    """A bare repository on disk."""

    path: Path
    git: Git

    async def create(self, default_branch: str) -> None:
        """Make it, empty."""
        self.path.mkdir(parents=True)
        await self.git.run("init", "--quiet", "--bare", f"--initial-branch={default_branch}", ".", directory=self.path)

    async def output(self, *arguments: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None) -> str:
        """Run git here and return its output as text."""
        return (await self.git.run(*arguments, directory=self.path, stdin=stdin, environment=environment)).text

    async def refs(self) -> dict[str, str]:
        """Return branches and tags by full name; an annotated tag is peeled to its commit."""
        form = "%(refname) %(if)%(*objectname)%(then)%(*objectname)%(else)%(objectname)%(end)"
        lines = await self.output("for-each-ref", f"--format={form}", "refs/heads", "refs/tags")
        return dict(line.split(" ", 1) for line in lines.splitlines())

    async def ref_object(self, ref: str) -> tuple[str, str] | None:
        """Return (type, sha) of exactly this full ref."""
        lines = await self.output("for-each-ref", "--format=%(refname) %(objecttype) %(objectname)", "--", ref)
        for line in lines.splitlines():
            name, kind, sha = line.split(" ")
            if name == ref:
                return kind, sha
        return None

    async def commit_sha(self, revision: str) -> str | None:
        """Resolve a branch, tag, full ref or (short) sha to a commit; branches win over tags."""
        if not revision or revision.startswith("-"):
            return None
        exact = SHA.fullmatch(revision) or revision.startswith("refs/")
        names = [revision] if exact else [f"refs/heads/{revision}", f"refs/tags/{revision}", revision]
        for name in names:
            answer = await self.git.run(
                "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}",
                directory=self.path, codes=(0, 1, 128),
            )  # fmt: skip
            if answer.code == 0 and SHA.fullmatch(answer.text):
                return answer.text
        return None

    async def update_ref(self, ref: str, new: str, old: str | None = None) -> None:
        """Set a ref; with old (forty zeros: must not exist) only when it still has that value."""
        await self.output("update-ref", ref, new, *(() if old is None else (old,)))

    async def delete_ref(self, ref: str) -> None:
        """Delete a ref."""
        await self.output("update-ref", "-d", ref)

    async def commit(self, revision: str) -> Commit:
        """Return one commit by sha."""
        return (await self.commits(revision, "--max-count=1"))[0]

    async def commits(self, *revisions: str) -> list[Commit]:
        """Return commits as `git log` orders them; takes its revisions and options."""
        text = await self.output("log", "-z", f"--format=format:{LOG_FORMAT}%x01", *revisions, "--")
        records = [record.lstrip("\x00") for record in text.split("\x01")]
        return [_commit(record) for record in records if record]

    async def tree(self, revision: str, path: str, *, recursive: bool = False) -> list[TreeEntry]:
        """List a directory (recursive: with all below it), or one file when path names one; empty when absent."""
        entries = await self._ls_tree(revision, path, *(("-r", "-t") if recursive else ()))
        if path and len(entries) == 1 and entries[0].type == "tree" and entries[0].path == path:
            return await self._ls_tree(revision, f"{path}/")
        return entries

    async def _ls_tree(self, revision: str, path: str, *options: str) -> list[TreeEntry]:
        limit = ("--", path) if path else ()
        text = await self.output("ls-tree", "-z", "-l", "--full-tree", *options, revision, *limit)
        entries = []
        for line in filter(None, text.split("\x00")):
            head, name = line.split("\t", 1)
            mode, kind, sha, size = head.split()
            entries.append(TreeEntry(mode, kind, sha, 0 if size == "-" else int(size), name))
        return entries

    async def blob(self, sha: str) -> bytes:
        """Return a file's bytes."""
        return (await self.git.run("cat-file", "blob", sha, directory=self.path)).stdout

    async def merge_base(self, base: str, head: str) -> str | None:
        """Return the best common ancestor, None for unrelated histories."""
        answer = await self.git.run("merge-base", base, head, directory=self.path, codes=(0, 1))
        return answer.text.splitlines()[0] if answer.code == 0 else None

    async def is_ancestor(self, old: str, new: str) -> bool:
        """Tell whether old is contained in new."""
        answer = await self.git.run("merge-base", "--is-ancestor", old, new, directory=self.path, codes=(0, 1, 128))
        return answer.code == 0

    async def ahead_behind(self, base: str, head: str) -> tuple[int, int]:
        """Count the commits only head has and those only base has."""
        behind, ahead = (await self.output("rev-list", "--left-right", "--count", f"{base}...{head}")).split()
        return int(ahead), int(behind)

    async def diff(self, old: str, new: str) -> bytes:
        """Return the unified diff of two commits or trees."""
        return (await self.git.run("diff", "--find-renames", old, new, "--", directory=self.path)).stdout

    async def changed_paths(self, old: str, new: str) -> list[str]:
        """Name the files that differ."""
        text = await self.output("diff", "--name-only", "--no-renames", "-z", old, new, "--")
        return [path for path in text.split("\x00") if path]

    async def empty_tree(self) -> str:
        """Return the sha of the empty tree, written if need be."""
        return await self.output("mktree")

    async def changes(self, old: str, new: str) -> list[FileChange]:
        """Describe the files that differ, with their patches."""
        raw = (await self.output("diff", "--find-renames", "--raw", "--no-abbrev", "-z", old, new, "--")).split("\x00")
        counts = await self._counts(old, new)
        patches = _split_patch((await self.diff(old, new)).decode(errors="replace"))
        changes: list[FileChange] = []
        position = 0
        while position < len(raw) and raw[position].startswith(":"):
            fields = raw[position].split(" ")
            status, sha = fields[4], fields[3]
            renamed = status[0] in "RC"
            previous = raw[position + 1] if renamed else None
            name = raw[position + 2] if renamed else raw[position + 1]
            position += 3 if renamed else 2
            added, deleted = counts[len(changes)]
            patch = patches[len(changes)] if len(changes) < len(patches) else None
            kept = sha if status[0] != "D" else fields[2]
            kind = NAME_STATUS.get(status[0], "changed")
            changes.append(FileChange(kept, name, previous, kind, added, deleted, patch))
        return changes

    async def _counts(self, old: str, new: str) -> list[tuple[int, int]]:
        lines = (await self.output("diff", "--find-renames", "--numstat", old, new, "--")).splitlines()
        pairs = [line.split("\t")[:2] for line in lines]
        return [(_count(added), _count(deleted)) for added, deleted in pairs]

    async def commit_tree(
        self, tree: str, parents: Sequence[str], message: str, author: Identity, committer: Identity
    ) -> str:
        """Write a commit and return its sha."""
        flags = [flag for parent in parents for flag in ("-p", parent)]
        environment = {**author.environment("AUTHOR"), **committer.environment("COMMITTER")}
        return await self.output("commit-tree", tree, *flags, stdin=message.encode(), environment=environment)

    async def tree_with(self, base: str | None, path: str, content: bytes | None, index: Path) -> str:
        """Write a tree like the base commit's with one file set (content) or removed (None); index is scratch."""
        environment = {"GIT_INDEX_FILE": str(index)}
        try:
            await self._index(base, environment)
            if content is None:
                entry = f"0 {'0' * 40}\t{path}\0"
            else:
                sha = await self.output("hash-object", "-w", "--stdin", stdin=content)
                entry = f"100644 {sha}\t{path}\0"
            await self.output("update-index", "-z", "--index-info", stdin=entry.encode(), environment=environment)
            return await self.output("write-tree", environment=environment)
        finally:
            index.unlink(missing_ok=True)

    async def _index(self, base: str | None, environment: Mapping[str, str]) -> None:
        await self.output("read-tree", *(("--empty",) if base is None else (base,)), environment=environment)


def _count(text: str) -> int:
    return 0 if text == "-" else int(text)


def _commit(record: str) -> Commit:
    sha, tree, parents, an, ae, ad, cn, ce, cd, message = record.split("\x00", 9)
    names = tuple(parents.split())
    return Commit(sha, tree, names, Identity(an, ae, ad), Identity(cn, ce, cd), message.rstrip("\n"))


def _split_patch(diff: str) -> list[str | None]:
    """Cut a diff into one hunk text per file, None for binary files and pure renames."""
    patches: list[str | None] = []
    for part in re.split(r"^diff --git .*\n", diff, flags=re.MULTILINE)[1:]:
        hunk = re.search(r"^@@ ", part, flags=re.MULTILINE)
        patches.append(part[hunk.start() :].rstrip("\n") if hunk else None)
    return patches
