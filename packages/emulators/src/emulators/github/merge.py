"""Merges a pull request's branches in the bare repository, with git's own merge machinery."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from emulators.github.bare import BareRepository, Identity
from emulators.github.errors import GitError


@dataclass(frozen=True)
class Merge:
    """What to merge into what, and how the commits are signed."""

    base: str
    head: str
    message: str
    author: Identity
    committer: Identity


async def merged_tree(bare: BareRepository, base: str, head: str) -> str | None:
    """Return the tree a merge would give, None when it conflicts."""
    answer = await bare.git.run(
        "merge-tree", "--write-tree", "--no-messages", base, head, directory=bare.path, codes=(0, 1)
    )
    return answer.text.splitlines()[0] if answer.code == 0 else None


async def merge_commit(bare: BareRepository, merge: Merge) -> str | None:
    """Write a merge commit; None on conflict."""
    tree = await merged_tree(bare, merge.base, merge.head)
    if tree is None:
        return None
    return await bare.commit_tree(tree, (merge.base, merge.head), merge.message, merge.author, merge.committer)


async def squash(bare: BareRepository, merge: Merge) -> str | None:
    """Write one commit with all changes on top of the base; None on conflict."""
    tree = await merged_tree(bare, merge.base, merge.head)
    if tree is None:
        return None
    return await bare.commit_tree(tree, (merge.base,), merge.message, merge.author, merge.committer)


async def rebase(bare: BareRepository, merge: Merge) -> str | None:
    """Replay the head's commits on the base; None on conflict. Works in a throw-away worktree."""
    scratch = Path(tempfile.mkdtemp(prefix="rebase-", dir=bare.path))
    worktree = scratch / "tree"
    try:
        await bare.output("worktree", "add", "--quiet", "--detach", str(worktree), merge.head)
        try:
            await bare.git.run(
                "rebase", "--quiet", "--force-rebase", merge.base,
                directory=worktree, environment=merge.committer.environment("COMMITTER"),
            )  # fmt: skip
        except GitError as error:
            if error.code == 1:
                return None
            raise
        return (await bare.git.run("rev-parse", "HEAD", directory=worktree)).text
    finally:
        shutil.rmtree(scratch)
        await bare.output("worktree", "prune")


METHODS = {"merge": merge_commit, "squash": squash, "rebase": rebase}
