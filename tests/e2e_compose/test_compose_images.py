"""What is in the images: no secret of a stack, no setting of the building host; and when they are built."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from local_stack.testing.deployment import Deployment, control, docker

ROOT = Path(__file__).parent.parent.parent
# A line of a file that is in every image: shows that the search looks into layers.
KNOWN_LINE = "Gives a service its settings: they are a mounted file"
SEARCH_SECONDS = 240


def _prefix(deployment: Deployment) -> str:
    return control(ROOT, deployment.env, "prefix.sh").strip()


def _our_images(deployment: Deployment) -> list[str]:
    """Return the images of the system; those that run its tests hold the repository and never leave this host."""
    listed = docker(
        "image", "ls", "--filter", f"reference={_prefix(deployment)}/*", "--format", "{{.Repository}}:{{.Tag}}"
    )
    return sorted(name for name in listed.split() if not name.startswith(f"{_prefix(deployment)}/runner"))


def _secrets(deployment: Deployment) -> set[str]:
    """Return every secret of .env and what each container is told, tokens and addresses with passwords among it."""
    folder = deployment.env.parent / "secrets"
    told = {value for file in folder.glob("*.env") for value in deployment.told(file.stem).values()}
    keys = {line for file in folder.glob("*.pem") for line in file.read_text().splitlines()[1:2]}
    return {
        value for value in told | keys | set(deployment.secrets.values()) if len(value) >= 24 and _may_be_one(value)
    }


def _may_be_one(value: str) -> bool:
    """Leave out names of mounted files and addresses without a password."""
    return not value.startswith("/") and ("://" not in value or "@" in value)


def _host_settings(folder: Path) -> set[str]:
    """Return the lines of this host's package-client settings that name an address or an account."""
    command = [sys.executable, str(ROOT / "scripts" / "docker" / "host_settings.py"), str(folder), "bookworm"]
    subprocess.run(command, check=True, timeout=60)
    files = [file for file in folder.rglob("*") if file.is_file() and file.name != "ca.crt"]
    lines = {line.strip() for file in files for line in file.read_text().splitlines()}
    return {line for line in lines if "://" in line or "password" in line.lower() or "_auth" in line.lower()}


def _layers(images: list[str]) -> set[str]:
    """Return the folders that hold the layers of images; none where they are kept otherwise or not ours to read."""
    drivers = [image["GraphDriver"] for image in json.loads(docker("image", "inspect", *images))]
    if {driver["Name"] for driver in drivers} != {"overlay2"}:
        return set()
    named = {
        path
        for driver in drivers
        for key in ("LowerDir", "UpperDir")
        for path in driver["Data"].get(key, "").split(":")
    }
    folders = named - {""}
    return folders if all(os.access(folder, os.R_OK) for folder in folders) else set()


def _written_out(images: list[str], folder: Path) -> list[str]:
    """Return the command that writes out layers and descriptions; layers read in place are a tenth of the work."""
    layers = _layers(images)
    if not layers:
        return ["docker", "save", *images]
    described = folder / "described"
    histories = [docker("image", "history", "--no-trunc", image) for image in images]
    described.write_text("\n".join([docker("image", "inspect", *images), *histories]))
    return ["tar", "--create", "--file=-", "--absolute-names", str(described), *sorted(layers)]


@pytest.mark.timeout(SEARCH_SECONDS + 30)
def test_no_layer_of_an_image_holds_a_secret_or_a_setting_of_the_host(deployment: Deployment, tmp_path: Path) -> None:
    secrets = _secrets(deployment)
    assert len(secrets) >= 15
    sought = tmp_path / "sought"
    sought.write_text("\n".join([KNOWN_LINE, *secrets, *_host_settings(tmp_path / "host")]) + "\n")
    sought.chmod(0o600)
    with subprocess.Popen(_written_out(_our_images(deployment), tmp_path), stdout=subprocess.PIPE) as writing:
        search = ["grep", "--text", "--only-matching", "--fixed-strings", f"--file={sought}"]
        found = subprocess.run(
            search, stdin=writing.stdout, capture_output=True, check=False, timeout=SEARCH_SECONDS, env={"LC_ALL": "C"}
        )
    assert writing.returncode == 0
    assert {line.decode()[:12] for line in found.stdout.splitlines()} == {KNOWN_LINE[:12]}


def test_nothing_is_built_again_when_nothing_changed(deployment: Deployment) -> None:
    before = docker("image", "inspect", "--format", "{{.Id}}", *_our_images(deployment))
    command = [str(ROOT / "scripts" / "docker" / "images.sh")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, "all images are up to date" in done.stderr, "building" in done.stderr) == (0, True, False)
    assert docker("image", "inspect", "--format", "{{.Id}}", *_our_images(deployment)) == before


@pytest.fixture
def made_on_redis(deployment: Deployment) -> Iterator[str]:
    """An image made on ours, as a build that was killed leaves it: it has the labels of ours and no name."""
    dockerfile = f"FROM {_prefix(deployment)}/redis\nLABEL codegen.test=made-on-redis\n"
    env = os.environ | {"DOCKER_BUILDKIT": "0"}
    command = ["docker", "build", "--quiet", "-"]
    done = subprocess.run(command, input=dockerfile, env=env, capture_output=True, text=True, check=True, timeout=60)
    yield done.stdout.strip()
    docker("image", "rm", done.stdout.strip())


def test_another_checkout_takes_an_image_over_and_never_what_was_made_on_it(
    deployment: Deployment, made_on_redis: str
) -> None:
    ours, other = _prefix(deployment), f"codegen-{uuid4().hex[:8]}"
    try:
        command = [str(ROOT / "scripts" / "docker" / "images.sh"), "redis"]
        env = os.environ | {"IMAGE_PREFIX": other}
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=120)
        assert f"{other}/redis: made by another checkout" in done.stderr
        ids = docker("image", "inspect", "--format", "{{.Id}}", f"{other}/redis", f"{ours}/redis").split()
        assert ids[0] == ids[1] != made_on_redis
    finally:
        docker("image", "rm", f"{other}/redis", f"{other}/base:bookworm")


def test_every_image_says_what_it_was_made_of(deployment: Deployment) -> None:
    for name in _our_images(deployment):
        if "/base:" not in name:
            assert docker("image", "inspect", "--format", '{{index .Config.Labels "codegen.source"}}', name).strip()
