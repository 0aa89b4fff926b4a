"""`python -m emulators github`: reads the options and serves until SIGTERM."""

import argparse
import ipaddress
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from emulators.faults import FaultMiddleware
from emulators.github.app import build_app, build_services
from emulators.github.errors import EmulatorError
from emulators.github.settings import GitHubSettings, RunnerSettings
from emulators.server import serve


def run(argv: list[str]) -> int:
    """Serve; returns the exit code, 2 when an option cannot be used."""
    arguments = _parser().parse_args(argv)
    try:
        settings = _settings(arguments)
        services = build_services(settings)
    except (EmulatorError, OSError, ValueError) as error:
        sys.stderr.write(json.dumps({"event": "cannot start", "error": str(error)}) + "\n")
        return 2
    return serve(FaultMiddleware(build_app(services)), arguments.host, arguments.port)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m emulators github", description="GitHub: REST, git and Actions")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one, named in the ready line")
    parser.add_argument("--state", type=Path, required=True, help="folder that keeps everything between starts")
    parser.add_argument("--app-id", type=int, required=True)
    parser.add_argument("--app-public-key", type=Path, required=True, help="PEM file to check App tokens with")
    parser.add_argument("--app-slug", default="codegen-orchestrator")
    parser.add_argument(
        "--owner", action="append", required=True, help="organization with the App installed; repeatable"
    )
    parser.add_argument("--public-url", help="root of all links, when clients do not reach it by its own address")
    parser.add_argument("--token-ttl-seconds", type=int, default=3600, help="life of installation tokens")
    parser.add_argument("--runner-uid", type=int, help="user that runs the jobs; needs root")
    parser.add_argument("--runner-path", type=Path, action="append", default=[], help="put first on PATH; repeatable")
    parser.add_argument("--runner-env", action="append", default=[], metavar="KEY=VALUE", help="repeatable")
    parser.add_argument("--runner-parallel", type=int, default=2, help="jobs at a time")
    parser.add_argument("--runner-dir", type=Path, help="where jobs work; default: below the state folder")
    parser.add_argument(
        "--runner-caches", type=Path, help="packages and tools; may be shared; default: where jobs work"
    )
    parser.add_argument("--webhook-free", action="store_true", help="accepted and always so: no webhooks are sent")
    return parser


def _settings(arguments: argparse.Namespace) -> GitHubSettings:
    runner = RunnerSettings(
        uid=arguments.runner_uid,
        path=tuple(path.resolve() for path in reversed(arguments.runner_path)),
        environment=_pairs(arguments.runner_env),
        parallel=max(1, arguments.runner_parallel),
        directory=None if arguments.runner_dir is None else arguments.runner_dir.resolve(),
        caches=None if arguments.runner_caches is None else arguments.runner_caches.resolve(),
    )
    return GitHubSettings(
        state=arguments.state.resolve(),
        app_id=arguments.app_id,
        app_public_key_pem=arguments.app_public_key.read_text(encoding="utf-8"),
        owners=tuple(arguments.owner),
        app_slug=arguments.app_slug,
        token_ttl_seconds=arguments.token_ttl_seconds,
        public_url=arguments.public_url.rstrip("/") if arguments.public_url else None,
        listen_url=_listen_url(arguments.host, arguments.port),
        runner=runner,
    )


def _listen_url(host: str, port: int) -> str:
    """Return how jobs on this machine reach us."""
    try:
        everywhere = ipaddress.ip_address(host).is_unspecified
    except ValueError:
        everywhere = False
    return f"http://{'127.0.0.1' if everywhere else host}:{port}"


def _pairs(texts: Sequence[str]) -> Mapping[str, str]:
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ValueError(f"--runner-env wants KEY=VALUE, not {text!r}")
        pairs[name] = value
    return pairs
