"""Writes this host's package-client settings for the fetch stages of builds: pip, npm, apt, proxies, certificates.

Settings that name a local path are left out: the path is not there inside a build. The folder is private and is only
ever copied into fetch stages, whose images are removed after a build.
"""

from __future__ import annotations

import configparser
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

CERTIFICATES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
PROXIES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")
PREFIXES = ("pip_", "uv_", "npm_config_")
NPM_LOCAL = ("cafile", "prefix", "cache", "nodedir", "userconfig", "globalconfig", "init-module")


def is_local(value: str) -> bool:
    return value.startswith(("/", "~", "file:", "./"))


def without_local(value: str) -> str:
    """Drop the words of a value that are paths of this machine."""
    return " ".join(word for word in value.split() if not is_local(word))


def certificates() -> Path | None:
    """Return the bundle this host trusts."""
    named = [os.environ.get(name, "") for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT")]
    return next((Path(path) for path in (*named, *CERTIFICATES) if path and Path(path).is_file()), None)


def client_environment() -> Iterator[str]:
    for name, value in sorted(os.environ.items()):
        if name.lower() in PROXIES or name.lower().startswith(PREFIXES):
            kept = without_local(value)
            if kept:
                yield f"{name}={shlex.quote(kept)}\n"


def pip_configuration() -> configparser.RawConfigParser:
    """Merge pip's configuration files as pip does."""
    merged = configparser.RawConfigParser()
    home = Path.home()
    files = [Path("/etc/pip.conf"), home / ".pip/pip.conf", home / ".config/pip/pip.conf"]
    named = os.environ.get("PIP_CONFIG_FILE")
    merged.read([*files, Path(named)] if named else files)
    for section in merged.sections():
        for name, value in list(merged.items(section)):
            kept = without_local(value)
            if kept:
                merged.set(section, name, kept)
            else:
                merged.remove_option(section, name)
    return merged


def npm_configuration() -> str:
    lines: list[str] = []
    for path in (Path("/usr/etc/npmrc"), Path("/etc/npmrc"), Path.home() / ".npmrc"):
        if path.is_file():
            lines += [line for line in path.read_text().splitlines() if not _is_npm_local(line)]
    return "".join(f"{line}\n" for line in lines)


def _is_npm_local(line: str) -> bool:
    name, _, value = (part.strip() for part in line.partition("="))
    return name in NPM_LOCAL or is_local(value)


def apt_sources(release: str) -> list[str]:
    """Return this host's sources of a Debian release, none on a host of another kind."""
    if shutil.which("apt-get") is None:
        return []
    wanted = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)"
    command = ["apt-get", "indextargets", "--format", wanted, "Created-By: Packages"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    rows = [line.split("|") for line in listed.splitlines()]
    found = {
        (uri, suite, component)
        for uri, suite, component, origin in rows
        if origin == "Debian" and suite.startswith(release)
    }
    return [f"deb {uri} {suite} {component}" for uri, suite, component in sorted(found)]


def apt_configuration(has_certificates: bool) -> str:
    """Return apt's proxy and transport settings."""
    dump = ""
    if shutil.which("apt-config"):
        dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=False).stdout
    kept = [
        line
        for line in dump.splitlines()
        if line.lower().startswith(("acquire::http::", "acquire::https::")) and '"/' not in line
    ]
    if has_certificates:
        kept.append('Acquire::https::CAInfo "/fetch/ca.crt";')
    return "".join(f"{line}\n" for line in kept)


def write(folder: Path, release: str) -> None:
    """Fill the folder, from nothing."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    bundle = certificates()
    if bundle is not None:
        shutil.copyfile(bundle, folder / "ca.crt")
    (folder / "client.env").write_text("".join(client_environment()))
    with (folder / "pip.conf").open("w") as file:
        pip_configuration().write(file)
    (folder / "npmrc").write_text(npm_configuration())
    sources = apt_sources(release)
    if sources:
        (folder / "sources.list").write_text("".join(f"{line}\n" for line in sources))
    (folder / "apt.conf").write_text(apt_configuration(bundle is not None))
    accounts = Path("/etc/apt/auth.conf.d")
    if accounts.is_dir() and any(accounts.iterdir()):
        shutil.copytree(accounts, folder / "apt-auth")


if __name__ == "__main__":
    write(Path(sys.argv[1]), sys.argv[2])
