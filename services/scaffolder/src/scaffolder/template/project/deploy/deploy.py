"""Sends one commit to the server's release receiver and waits for its verdict. Standard library only.

Reads DEPLOY_APP, DEPLOY_SHA, DEPLOY_PORT, DEPLOY_URL, DEPLOY_TOKEN and SECRETS_JSON (the repository's secrets, of which
only those named in .env.example reach the application).
"""

import base64
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parent.parent / ".env.example"
VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)")
KIND = re.compile(r"[#\s]*(derived|generated|user|literal)\b", re.IGNORECASE)
SET_BY_SERVER = frozenset({"PORT", "HOST", "DATA_DIR", "APP_SHA"})
ANSWER_SECONDS = 600
TRIES = 5
PAUSE_SECONDS = 2.0


def application_environment(example: str, secrets: Mapping[str, str]) -> dict[str, str]:
    """Pick the variables of .env.example: the secret of that name, or the example's own value for a literal."""
    found: dict[str, str] = {}
    kind = ""
    for line in example.splitlines():
        if line.startswith("#"):
            kind = kind_in(line)
            continue
        match = VARIABLE.fullmatch(line.strip())
        if match and match[1] not in SET_BY_SERVER:
            value, _, comment = match[2].partition(" #")
            if match[1] in secrets:
                found[match[1]] = secrets[match[1]]
            elif value.strip() and (kind_in(comment) or kind or "literal") == "literal":
                found[match[1]] = value.strip()
        kind = ""
    return found


def kind_in(comment: str) -> str:
    """Return the first word of a comment when it says where a value comes from."""
    match = KIND.match(comment)
    return match[1].lower() if match else ""


def archive(sha: str, target: Path) -> None:
    """Write the commit's tree, and nothing that is not committed, as tar.gz."""
    subprocess.run(["git", "archive", "--format=tar.gz", f"--output={target}", sha], check=True, timeout=120)


def send(url: str, token: str, body: Path, environment: Mapping[str, str]) -> dict[str, object]:
    """Upload the release and return the server's answer; sending the same commit again is harmless."""
    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/gzip",
        "Content-Length": str(body.stat().st_size),
        "X-App-Env": base64.b64encode(json.dumps(dict(environment)).encode()).decode(),
    }
    with body.open("rb") as content:
        request = urllib.request.Request(url, data=content, headers=headers, method="PUT")
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
            return json.load(answer)


def deliver(url: str, token: str, body: Path, environment: Mapping[str, str]) -> dict[str, object]:
    """Send, again after a connection that broke or a server that asks to wait."""
    for attempt in range(1, TRIES + 1):
        try:
            return send(url, token, body, environment)
        except urllib.error.HTTPError as error:
            if error.code != 503 or attempt == TRIES:
                raise
            error.close()
        except (urllib.error.URLError, ConnectionError) as error:
            print(f"try {attempt} of {TRIES}: {error}", flush=True)
            if attempt == TRIES:
                raise
        time.sleep(PAUSE_SECONDS * attempt)
    raise AssertionError("unreachable")


def main(variables: Mapping[str, str]) -> int:
    """Deploy what the environment names; returns the exit code."""
    app, sha, port = (variables[f"DEPLOY_{name}"] for name in ("APP", "SHA", "PORT"))
    missing = [name for name in ("DEPLOY_URL", "DEPLOY_TOKEN") if not variables.get(name)]
    if missing:
        print(f"::error::the repository secrets {', '.join(missing)} are not set")
        return 2
    secrets = json.loads(variables.get("SECRETS_JSON") or "{}")
    environment = application_environment(EXAMPLE.read_text(encoding="utf-8"), secrets)
    url = f"{variables['DEPLOY_URL'].rstrip('/')}/apps/{app}/releases/{sha}?port={port}"
    print(f"deploying {app} at {sha} with variables {sorted(environment)}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        body = Path(folder) / "release.tar.gz"
        archive(sha, body)
        try:
            answer = deliver(url, variables["DEPLOY_TOKEN"], body, environment)
        except urllib.error.HTTPError as error:
            print(error.read().decode(errors="replace"))
            print(f"::error::the server refused the release: {error.code} {error.reason}")
            return 1
        except OSError as error:
            print(f"::error::the server did not answer: {error}")
            return 1
    print(f"deployed: {answer.get('url')} (pid {answer.get('pid')})")
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
