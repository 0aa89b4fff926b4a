"""Makes .env (random secrets, only for its owner, never overwritten) and, from it, one settings file per container.

Secrets reach a container as a mounted file of its own, never as its environment in the engine's books, so that neither
an image nor `docker inspect` shows one. Placeholders and missing accounts are refused by name.

CODEGEN_ENV names another file, for a second stack beside the first: with a project, ports and settings of its own.
"""

from __future__ import annotations

import errno
import os
import random
import re
import secrets
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

ROOT = Path(__file__).resolve().parent.parent.parent
ENV = ROOT / os.environ.get("CODEGEN_ENV", ".env")
IS_FIRST = ROOT / ".env" == ENV
RENDERED = ROOT / ".codegen" / "docker" / "secrets" if IS_FIRST else ENV.parent / "secrets"
FIRST_PORTS = range(18_098, 18_120)  # the api, the emulated Telegram, twenty applications
TOKEN_LIFETIME = timedelta(days=365)
ENGINE_SECONDS = 5  # an engine that is just starting may keep its callers waiting
DEMO_USERS = ",".join(str(1_000_001 + number) for number in range(50))
PLACEHOLDER = re.compile(r"(change.?me.*|todo|x{3,}|placeholder|your[-_ ].*|<.*>|secret|password|\.{3})", re.IGNORECASE)
MADE = {
    "POSTGRES_PASSWORD": 16,
    "CHECKPOINTS_PASSWORD": 16,
    "REDIS_PASSWORD": 16,
    "API_JWT_SECRET": 32,
    "ATTEMPT_SECRET": 32,
    "DEPLOY_TOKEN": 24,
}
ACCOUNTS = {
    "TELEGRAM_BOT_TOKEN": "telegram",
    "TELEGRAM_ALLOWED_USERS": "telegram",
    "GITHUB_APP_ID": "github",
    "GITHUB_APP_PRIVATE_KEY_FILE": "github",
    "GITHUB_OWNER": "github",
    "ANTHROPIC_API_KEY": "anthropic",
}
PRIVATE = frozenset({"worker-manager"})  # root inside its container, where workers must not read it
CERTIFICATES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
TEMPLATE = """\
# Made by `make env`. Only its owner may read it; no command overwrites it. `make up` after a change.

# Secrets, made at random. Whoever changes a database password changes it in the database as well.
{secrets}

# Accounts. What is empty is emulated with `make up PROFILE=emulators` and refused without.
TELEGRAM_BOT_TOKEN=
TELEGRAM_ALLOWED_USERS=
TELEGRAM_ADMINS=
GITHUB_APP_ID=
GITHUB_APP_PRIVATE_KEY_FILE=
GITHUB_OWNER=
ANTHROPIC_API_KEY=

# How servers are reached over ssh.
SSH_PRIVATE_KEY_FILE=
SSH_PUBLIC_KEY_FILE=

# Addresses and ports on this host. SERVER_HOST is where people reach the applications on the server beside the
# emulators: this host alone at first; for others, its public name, with SERVER_BIND=0.0.0.0.
COMPOSE_PROJECT_NAME={project}
BIND_ADDRESS=127.0.0.1
API_PORT={api}
TELEGRAM_PORT={telegram}
SERVER_HOST={gateway}
SERVER_BIND={gateway}
APPLICATION_PORTS={applications}

# Certificates of this host, which containers trust.
CA_BUNDLE={certificates}
LOG_LEVEL=INFO

# Where the settings of each container are written.
SETTINGS_DIR={settings}
"""


class Refused(Exception):
    """Something in .env cannot be used; the message names it and the way out."""


def gateway() -> str:
    """Return the address under which containers and this host, and nobody else, reach this host."""
    command = ["docker", "network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}"]
    try:
        found = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=ENGINE_SECONDS
        ).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        found = ""
    return found or "172.17.0.1"


def is_free(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            # An address this host does not have (yet: the engine makes it) is nobody's.
            return error.errno == errno.EADDRNOTAVAIL
    return True


def has_data(project: str) -> bool:
    """Tell whether the engine keeps data of a project: it belongs to another .env, with other passwords."""
    command = ["docker", "volume", "inspect", f"{project}_postgres"]
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=ENGINE_SECONDS).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def are_free(address: str, ports: range) -> bool:
    return all(is_free(place, port) for port in ports for place in ("127.0.0.1", address))


def places(address: str) -> dict[str, object]:
    """Return project and ports: well-known ones, free ones where these belong to another stack."""
    ports, project = FIRST_PORTS, "codegen"
    if not IS_FIRST or has_data(project):
        project = f"codegen-{secrets.token_hex(3)}"
    if not IS_FIRST or not are_free(address, ports):
        picker = random.SystemRandom()
        while not are_free(address, ports) or ports == FIRST_PORTS:
            start = picker.randrange(20_000, 30_000, len(FIRST_PORTS))
            ports = range(start, start + len(FIRST_PORTS))
    api, telegram, *applications = ports
    return {
        "project": project,
        "api": api,
        "telegram": telegram,
        "applications": f"{applications[0]}-{applications[-1]}",
    }


def make() -> None:
    """Write .env unless there is one."""
    if ENV.exists():
        print(f"env: {ENV.name} is there and stays as it is")
        return
    lines = [f"{name}={secrets.token_hex(size)}" for name, size in MADE.items()]
    lines += [
        f"EMULATED_TELEGRAM_TOKEN={secrets.randbelow(9 * 10**8) + 10**8}:{secrets.token_hex(17)}",
        f"EMULATED_ANTHROPIC_KEY=emulated-{secrets.token_hex(12)}",
        f"EMULATED_GITHUB_APP_ID={secrets.randbelow(900_000) + 100_000}",
    ]
    bundle = next((path for path in CERTIFICATES if Path(path).is_file()), "")
    address = gateway()
    placed = places(address)
    settings = RENDERED.relative_to(ROOT) if RENDERED.is_relative_to(ROOT) else RENDERED
    text = TEMPLATE.format(secrets="\n".join(lines), gateway=address, certificates=bundle, settings=settings, **placed)
    ENV.parent.mkdir(parents=True, exist_ok=True)
    ENV.touch(mode=0o600)
    ENV.write_text(text)
    print(f"env: made {ENV.name} for the project {placed['project']}")


def read() -> dict[str, str]:
    """Return .env's values; Refused when somebody else may read it or a value is none."""
    if not ENV.exists():
        raise Refused(".env is missing: run `make env`")
    if ENV.stat().st_mode & 0o077:
        raise Refused(".env can be read by others: chmod 600 .env")
    values = {}
    for line in ENV.read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not name.lstrip().startswith("#"):
            values[name.strip()] = value.strip().strip("'\"")
    for name, value in values.items():
        if PLACEHOLDER.fullmatch(value):
            raise Refused(f"{name} in .env is a placeholder: put in the real value, or leave it empty")
    for name, size in MADE.items():
        if len(values.get(name, "")) < size:
            raise Refused(f"{name} in .env is missing or too short: at least {size} characters, at random")
    return values


def check_accounts(values: Mapping[str, str], *, has_emulators: bool) -> frozenset[str]:
    """Return which parts are emulated; Refused for an account that is only half there, or not and not emulated."""
    emulated = set()
    for part in dict.fromkeys(ACCOUNTS.values()):
        names = [name for name, of in ACCOUNTS.items() if of == part]
        missing = [name for name in names if not values.get(name)]
        if not missing:
            continue
        if not has_emulators or len(missing) < len(names):
            way = "" if has_emulators else ", or run `make up PROFILE=emulators`"
            raise Refused(f"{part}: {', '.join(missing)} in .env is empty: set it{way}")
        emulated.add(part)
    return frozenset(emulated)


def service_token(service: str, secret: str) -> str:
    now = datetime.now(UTC)
    claims = {"sub": service, "kind": "service", "aud": "orchestrator", "iat": now, "exp": now + TOKEN_LIFETIME}
    return jwt.encode(claims, secret, algorithm="HS256")


def github(values: Mapping[str, str], emulated: frozenset[str]) -> dict[str, str]:
    key = {"GITHUB_APP_PRIVATE_KEY_FILE": "/run/secrets/github-app.pem"}
    if "github" not in emulated:
        return {**key, "GITHUB_APP_ID": values["GITHUB_APP_ID"], "GITHUB_OWNER": values["GITHUB_OWNER"]}
    url = "http://emulator-github:8080"
    app = {"GITHUB_APP_ID": values["EMULATED_GITHUB_APP_ID"], "GITHUB_OWNER": "acme"}
    return {**key, **app, "GITHUB_API_URL": url, "GITHUB_WEB_URL": url}


def telegram(values: Mapping[str, str], emulated: frozenset[str]) -> dict[str, str]:
    users, admins = values.get("TELEGRAM_ALLOWED_USERS", ""), values.get("TELEGRAM_ADMINS", "")
    if "telegram" not in emulated:
        token = values["TELEGRAM_BOT_TOKEN"]
        return {"TELEGRAM_BOT_TOKEN": token, "TELEGRAM_ALLOWED_USERS": users, "TELEGRAM_ADMINS": admins}
    return {
        "TELEGRAM_BOT_TOKEN": values["EMULATED_TELEGRAM_TOKEN"],
        "TELEGRAM_API_URL": "http://emulator-telegram:8080",
        "TELEGRAM_ALLOWED_USERS": DEMO_USERS,
        "TELEGRAM_ADMINS": DEMO_USERS,
    }


def anthropic(values: Mapping[str, str], emulated: frozenset[str]) -> dict[str, str]:
    if "anthropic" not in emulated:
        return {"ANTHROPIC_API_KEY": values["ANTHROPIC_API_KEY"]}
    url = "http://emulator-anthropic:8080"
    return {"ANTHROPIC_API_KEY": values["EMULATED_ANTHROPIC_KEY"], "ANTHROPIC_BASE_URL": url}


def ssh(values: Mapping[str, str]) -> dict[str, str]:
    if not values.get("SSH_PRIVATE_KEY_FILE"):
        return {}
    return {"SSH_PRIVATE_KEY_FILE": "/run/secrets/ssh-key", "SSH_PUBLIC_KEY_FILE": "/run/secrets/ssh-key.pub"}


def containers(values: Mapping[str, str], emulated: frozenset[str]) -> dict[str, dict[str, str]]:
    """Return what each container is told: nothing that it does not need."""
    redis = {"REDIS_URL": f"redis://:{values['REDIS_PASSWORD']}@redis:6379/0"}
    database = {"DATABASE_URL": _database("orchestrator", values["POSTGRES_PASSWORD"])}
    deploy = {"DEPLOY_TOKEN": values["DEPLOY_TOKEN"]}

    def service(name: str, *more: Mapping[str, str]) -> dict[str, str]:
        found = {"API_TOKEN": service_token(name, values["API_JWT_SECRET"]), **redis}
        for part in more:
            found.update(part)
        return found

    graphs = {
        "CHECKPOINT_DATABASE_URL": _database("checkpoints", values["CHECKPOINTS_PASSWORD"]),
        "ATTEMPT_SECRET": values["ATTEMPT_SECRET"],
        "POLL_INTERVAL_SECONDS": "0.5" if "github" in emulated else "3",
    }
    repositories = github(values, emulated)
    registration = {
        "SERVER_HOST": values["SERVER_HOST"],
        "SERVER_DEPLOY_URL": "http://server:8090",
        "APPLICATION_PORTS": values["APPLICATION_PORTS"],
    }
    return {
        "postgres": {name: values[name] for name in ("POSTGRES_PASSWORD", "CHECKPOINTS_PASSWORD")},
        "redis": {"REDIS_PASSWORD": values["REDIS_PASSWORD"]},
        "migrate": database,
        "api": {**database, "API_JWT_SECRET": values["API_JWT_SECRET"]},
        "relay": {**database, **redis},
        "worker-manager": service("worker-manager", anthropic(values, emulated)),
        "langgraph": service("langgraph", graphs, deploy, repositories),
        "scaffolder": service("scaffolder", repositories),
        "scheduler": service("scheduler"),
        "infra-service": service("infra-service", deploy, ssh(values)),
        "telegram-bot": service("telegram-bot", telegram(values, emulated)),
        "registration": service("registration", registration),
        "emulator-anthropic": {"ANTHROPIC_API_KEY": values["EMULATED_ANTHROPIC_KEY"]},
        "emulator-github": {"GITHUB_APP_ID": values["EMULATED_GITHUB_APP_ID"]},
        "emulator-telegram": {"TELEGRAM_BOT_TOKEN": values["EMULATED_TELEGRAM_TOKEN"]},
    }


def _database(role: str, password: str) -> str:
    return f"postgresql://{role}:{password}@postgres:5432/orchestrator"


def write_keys(values: Mapping[str, str], emulated: frozenset[str]) -> None:
    """Write the GitHub App's key (a generated one for the emulator) and the ssh keys."""
    private, public = RENDERED / "github-app.pem", RENDERED / "github-app.pub.pem"
    if "github" not in emulated:
        _copy(values["GITHUB_APP_PRIVATE_KEY_FILE"], private)
        _write(public, "")
    elif not (private.exists() and public.exists() and public.read_text()):
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        spki = serialization.PublicFormat.SubjectPublicKeyInfo
        _write(private, key.private_bytes(pem, pkcs8, serialization.NoEncryption()).decode())
        _write(public, key.public_key().public_bytes(pem, spki).decode())
    _copy(values.get("SSH_PRIVATE_KEY_FILE", ""), RENDERED / "ssh-key")
    _copy(values.get("SSH_PUBLIC_KEY_FILE", ""), RENDERED / "ssh-key.pub")


def _copy(source: str, target: Path) -> None:
    path = Path(source).expanduser()
    if source and not path.is_file():
        raise Refused(f"{source}, named in .env, is no file")
    _write(target, path.read_text() if source else "")


def _write(path: Path, text: str, mode: int = 0o444) -> None:
    """Write a file in place: a container that has it mounted keeps seeing it."""
    if path.is_dir():
        shutil.rmtree(path)  # left by the engine when it started a container without the file
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text)
    path.chmod(mode)


def render(*, has_emulators: bool) -> None:
    """Write every container's settings below a folder only its owner can enter."""
    values = read()
    emulated = check_accounts(values, has_emulators=has_emulators)
    RENDERED.mkdir(parents=True, exist_ok=True)
    RENDERED.chmod(0o700)
    for name, settings in containers(values, emulated).items():
        text = "".join(f"{key}={shlex.quote(value)}\n" for key, value in settings.items())
        # The folder keeps other users of this host out; the users inside the containers have to read the files.
        _write(RENDERED / f"{name}.env", text, 0o400 if name in PRIVATE else 0o444)
    write_keys(values, emulated)
    print(f"env: emulated: {', '.join(sorted(emulated)) or 'nothing'}")


def main(arguments: list[str]) -> int:
    try:
        if arguments[:1] == ["render"]:
            render(has_emulators="emulators" in arguments[1:])
        else:
            make()
    except Refused as error:
        print(f"env: {error}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
