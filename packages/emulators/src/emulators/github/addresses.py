"""The addresses that GitHub's answers carry beside the facts; most of them lead nowhere here."""

from collections.abc import Mapping

OF_ACCOUNT: Mapping[str, str] = {
    "followers_url": "/followers",
    "following_url": "/following{/other_user}",
    "gists_url": "/gists{/gist_id}",
    "starred_url": "/starred{/owner}{/repo}",
    "subscriptions_url": "/subscriptions",
    "organizations_url": "/orgs",
    "repos_url": "/repos",
    "events_url": "/events{/privacy}",
    "received_events_url": "/received_events",
}
OF_REPOSITORY: Mapping[str, str] = {
    "archive_url": "/{archive_format}{/ref}",
    "assignees_url": "/assignees{/user}",
    "blobs_url": "/git/blobs{/sha}",
    "branches_url": "/branches{/branch}",
    "collaborators_url": "/collaborators{/collaborator}",
    "comments_url": "/comments{/number}",
    "commits_url": "/commits{/sha}",
    "compare_url": "/compare/{base}...{head}",
    "contents_url": "/contents/{+path}",
    "contributors_url": "/contributors",
    "deployments_url": "/deployments",
    "downloads_url": "/downloads",
    "events_url": "/events",
    "forks_url": "/forks",
    "git_commits_url": "/git/commits{/sha}",
    "git_refs_url": "/git/refs{/sha}",
    "git_tags_url": "/git/tags{/sha}",
    "hooks_url": "/hooks",
    "issue_comment_url": "/issues/comments{/number}",
    "issue_events_url": "/issues/events{/number}",
    "issues_url": "/issues{/number}",
    "keys_url": "/keys{/key_id}",
    "labels_url": "/labels{/name}",
    "languages_url": "/languages",
    "merges_url": "/merges",
    "milestones_url": "/milestones{/number}",
    "notifications_url": "/notifications{?since,all,participating}",
    "pulls_url": "/pulls{/number}",
    "releases_url": "/releases{/id}",
    "stargazers_url": "/stargazers",
    "statuses_url": "/statuses/{sha}",
    "subscribers_url": "/subscribers",
    "subscription_url": "/subscription",
    "tags_url": "/tags",
    "teams_url": "/teams",
    "trees_url": "/git/trees{/sha}",
}


def under(base: str, addresses: Mapping[str, str]) -> dict[str, object]:
    """Return the addresses below a base."""
    return {name: f"{base}{rest}" for name, rest in addresses.items()}


def of_pull(repository: str, number: int, sha: str, html: str) -> dict[str, object]:
    """Return the addresses of a pull request, once flat and once as links; `repository` is its REST address."""
    pull, issue = f"{repository}/pulls/{number}", f"{repository}/issues/{number}"
    flat = {
        "review_comments_url": f"{pull}/comments",
        "review_comment_url": f"{repository}/pulls/comments{{/number}}",
        "comments_url": f"{issue}/comments",
        "statuses_url": f"{repository}/statuses/{sha}",
        "commits_url": f"{pull}/commits",
        "issue_url": issue,
    }
    linked = {name.removesuffix("_url"): {"href": address} for name, address in flat.items()}
    links = {"self": {"href": pull}, "html": {"href": html}, **linked}
    return {
        "url": pull,
        "html_url": html,
        "diff_url": f"{html}.diff",
        "patch_url": f"{html}.patch",
        **flat,
        "_links": links,
    }
