"""The JSON of repositories, commits and pull requests, with the fields clients use."""

import hashlib
from dataclasses import dataclass

from emulators.github import addresses
from emulators.github.bare import Commit, FileChange, Identity
from emulators.github.models import JsonObject, PullRequest, Repository

_COUNTS = (
    "size", "forks", "forks_count", "open_issues", "open_issues_count", "stargazers_count", "watchers",
    "watchers_count", "network_count", "subscribers_count",
)  # fmt: skip
_FEATURES = ("has_projects", "has_pages", "has_downloads", "has_discussions")


def stable_id(text: str) -> int:
    """Return a number that stays the same for a name."""
    return int.from_bytes(hashlib.sha256(text.lower().encode()).digest()[:4], "big")


@dataclass(frozen=True)
class Views:
    """Builds JSON whose links start with one base URL."""

    base_url: str

    def owner(self, login: str) -> JsonObject:
        """An organization."""
        return self._account(login, "Organization")

    def bot(self, login: str) -> JsonObject:
        """The App as an actor."""
        return self._account(login, "Bot")

    def _account(self, login: str, kind: str) -> JsonObject:
        return {
            "login": login,
            "id": stable_id(login),
            "node_id": f"A_{stable_id(login)}",
            "type": kind,
            "site_admin": False,
            "gravatar_id": "",
            "avatar_url": f"{self.base_url}/avatars/{login}",
            "url": f"{self.base_url}/users/{login}",
            "html_url": f"{self.base_url}/{login}",
            **addresses.under(f"{self.base_url}/users/{login}", addresses.OF_ACCOUNT),
        }

    def repository_url(self, repository: Repository) -> str:
        """The REST address of a repository."""
        return f"{self.base_url}/repos/{repository.full_name}"

    def repository(self, repository: Repository) -> JsonObject:
        """A repository."""
        html = f"{self.base_url}/{repository.full_name}"
        return {
            "id": repository.id,
            "node_id": f"R_{repository.id}",
            "name": repository.name,
            "full_name": repository.full_name,
            "owner": self.owner(repository.owner),
            "private": repository.private,
            "visibility": "private" if repository.private else "public",
            "html_url": html,
            "description": repository.description,
            "fork": False,
            "url": self.repository_url(repository),
            "clone_url": f"{html}.git",
            "git_url": f"{html}.git",
            "ssh_url": f"git@localhost:{repository.full_name}.git",
            "svn_url": html,
            "mirror_url": None,
            "homepage": None,
            "language": None,
            "license": None,
            **addresses.under(self.repository_url(repository), addresses.OF_REPOSITORY),
            **dict.fromkeys(_COUNTS, 0),
            **dict.fromkeys(_FEATURES, False),
            "default_branch": repository.default_branch,
            "archived": False,
            "disabled": False,
            "created_at": repository.created_at,
            "updated_at": repository.updated_at,
            "pushed_at": repository.pushed_at or repository.created_at,
            "permissions": {"admin": True, "maintain": True, "push": True, "triage": True, "pull": True},
            **repository.settings,
        }

    def git_commit(self, commit: Commit, repository: Repository) -> JsonObject:
        """The git part of a commit."""
        url = self.repository_url(repository)
        return {
            "message": commit.message,
            "author": _identity(commit.author),
            "committer": _identity(commit.committer),
            "tree": {"sha": commit.tree, "url": f"{url}/git/trees/{commit.tree}"},
            "url": f"{url}/git/commits/{commit.sha}",
            "comment_count": 0,
        }

    def commit(self, commit: Commit, repository: Repository) -> JsonObject:
        """A commit."""
        url = self.repository_url(repository)
        return {
            "sha": commit.sha,
            "node_id": f"C_{commit.sha}",
            "url": f"{url}/commits/{commit.sha}",
            "html_url": f"{self.base_url}/{repository.full_name}/commit/{commit.sha}",
            "comments_url": f"{url}/commits/{commit.sha}/comments",
            "commit": self.git_commit(commit, repository),
            "author": None,
            "committer": None,
            "parents": [{"sha": sha, "url": f"{url}/commits/{sha}"} for sha in commit.parents],
        }

    def simple_commit(self, commit: Commit) -> JsonObject:
        """A commit as runs and check suites mention it."""
        return {
            "id": commit.sha,
            "tree_id": commit.tree,
            "message": commit.message,
            "timestamp": commit.committer.date,
            "author": {"name": commit.author.name, "email": commit.author.email},
            "committer": {"name": commit.committer.name, "email": commit.committer.email},
        }

    def file(self, change: FileChange, repository: Repository, sha: str) -> JsonObject:
        """One changed file."""
        url = self.repository_url(repository)
        shown: JsonObject = {
            "sha": change.sha,
            "filename": change.filename,
            "status": change.status,
            "additions": change.additions,
            "deletions": change.deletions,
            "changes": change.additions + change.deletions,
            "contents_url": f"{url}/contents/{change.filename}?ref={sha}",
            "blob_url": f"{self.base_url}/{repository.full_name}/blob/{sha}/{change.filename}",
            "raw_url": f"{self.base_url}/{repository.full_name}/raw/{sha}/{change.filename}",
        }
        if change.patch is not None:
            shown["patch"] = change.patch
        if change.previous is not None:
            shown["previous_filename"] = change.previous
        return shown

    def pull(self, pull: PullRequest, repository: Repository, author: str) -> JsonObject:
        """A pull request as lists show it."""
        html = f"{self.base_url}/{repository.full_name}/pull/{pull.number}"
        return {
            "id": pull.id,
            "node_id": f"PR_{pull.id}",
            "number": pull.number,
            "state": pull.state,
            "locked": False,
            "title": pull.title,
            "body": pull.body,
            "draft": pull.draft,
            "user": self.bot(author),
            **addresses.of_pull(self.repository_url(repository), pull.number, pull.head_sha, html),
            "head": self._side(repository, pull.head_ref, pull.head_sha),
            "base": self._side(repository, pull.base_ref, pull.base_sha),
            "merge_commit_sha": pull.merge_sha,
            "created_at": pull.created_at,
            "updated_at": pull.updated_at,
            "closed_at": pull.closed_at,
            "merged_at": pull.merged_at,
            "labels": [],
            "milestone": None,
            "assignee": None,
            "assignees": [],
            "requested_reviewers": [],
            "requested_teams": [],
            "auto_merge": None,
            "author_association": "CONTRIBUTOR",
        }

    def _side(self, repository: Repository, ref: str, sha: str) -> JsonObject:
        return {
            "label": f"{repository.owner}:{ref}",
            "ref": ref,
            "sha": sha,
            "user": self.owner(repository.owner),
            "repo": self.repository(repository),
        }


def _identity(identity: Identity) -> JsonObject:
    return {"name": identity.name, "email": identity.email, "date": identity.date}
