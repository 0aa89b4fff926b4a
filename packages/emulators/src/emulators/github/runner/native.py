"""The actions this runner carries out itself; every other `uses` is an error that names it."""

import asyncio
import base64
import re
import shutil
import tarfile
import zipfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from emulators.github.errors import StepError
from emulators.github.runner.folders import give_tree
from emulators.github.runner.machine import Machine
from emulators.github.runner.processes import Command
from emulators.github.tables.actions import ActionsTable

VERSION = re.compile(r"(?P<major>\d+)(?:\.(?P<minor>\d+|x))?")
CHECKOUT_INPUTS = frozenset({"ref", "path", "fetch-depth", "token", "persist-credentials", "clean", "repository"})
PYTHON_INPUTS = frozenset({"python-version", "cache", "cache-dependency-path", "architecture", "check-latest"})
ARTIFACT_INPUTS = frozenset(
    {"name", "path", "if-no-files-found", "retention-days", "compression-level", "include-hidden-files", "overwrite"}
)
CACHE_INPUTS = frozenset({"path", "key", "restore-keys", "fail-on-cache-miss", "lookup-only", "enableCrossOsArchive"})

COPY_IN = 'mkdir -p "$INTO" && find "$INTO" -mindepth 1 -delete && cp -a "$FROM/." "$INTO/"'
PREPARE_PYTHON = r"""
base=$(command -v "python$WANTED" || command -v python3) || { echo "no python3 on PATH"; exit 1; }
version=$("$base" -c 'import platform; print(platform.python_version())')
template="$TOOLS/python-$version"
if command -v flock > /dev/null; then exec 9> "$TOOLS/python.lock"; flock 9; fi
if [ ! -x "$template/bin/python" ]; then
  fresh=$(mktemp -d "$TOOLS/new-XXXXXX")
  # uv needs a tenth of the time, where there is one and it reaches an index.
  uv venv --quiet --clear --seed --no-project --python "$base" "$fresh" 2>/dev/null \
    || "$base" -m venv --clear "$fresh" || { rm -rf "$fresh"; exit 1; }
  # pip is nearly all of it: jobs read one copy, and whatever they install comes before it.
  packages=$(echo "$fresh"/lib/python*/site-packages)
  rm -rf "$TOOLS/pip-$version"
  mv -T "$packages" "$TOOLS/pip-$version"
  mkdir "$packages"
  echo "$TOOLS/pip-$version" > "$packages/pip.pth"
  mv -T "$fresh" "$template" 2>/dev/null || rm -rf "$fresh"
fi
cp -a "$template" "$INTO"
for name in "$INTO"/bin/pip*; do
  printf '#!/bin/sh\nexec "%s/bin/python" -m pip "$@"\n' "$INTO" > "$name"
done
echo "Successfully set up CPython ($version)"
echo "$version" > "$INTO/version"
"""
COLLECT = r"""
IFS=$'\n'
found=()
for path in $WANTED; do
  if [ -e "$path" ] || [ -L "$path" ]; then found+=("$path"); fi
done
[ ${#found[@]} -gt 0 ] || exit 3
exec tar --create --dereference --file=- -- "${found[@]}"
"""


@dataclass(frozen=True)
class ActionCall:
    """One `uses`: its inputs as text and the environment of its step."""

    machine: Machine
    actions: ActionsTable
    number: int
    inputs: Mapping[str, str]
    environment: Mapping[str, str]
    timeout_seconds: float | None

    def only(self, allowed: frozenset[str]) -> None:
        """Refuse inputs this runner does not honour."""
        unknown = [name for name in self.inputs if name not in allowed]
        if unknown:
            raise StepError(f"this runner does not support the input(s) {', '.join(unknown)} of this action")

    async def script(self, text: str, **values: str) -> None:
        """Run a script of ours with these variables; raises StepError when it fails."""
        outcome = await self.machine.shell(text, {**self.environment, **values}, self.timeout_seconds)
        if outcome.code:
            raise StepError(f"Process completed with exit code {outcome.code} ({outcome.reason}).")


Action = Callable[[ActionCall], Awaitable[Mapping[str, str]]]


async def checkout(call: ActionCall) -> Mapping[str, str]:
    """actions/checkout: exactly the run's commit (or `ref`), nothing that was not pushed."""
    call.only(CHECKOUT_INPUTS)
    machine = call.machine
    wanted = call.inputs.get("repository") or machine.repository.full_name
    if wanted.lower() != machine.repository.full_name.lower():
        raise StepError(f"this runner checks out its own repository only, not {wanted}")
    ref = call.inputs.get("ref") or machine.run.head_sha
    sha = await machine.bare.commit_sha(ref)
    if sha is None:
        raise StepError(f"A branch, tag or commit '{ref}' could not be found")
    depth = call.inputs.get("fetch-depth") or "1"
    if not depth.isdecimal():
        raise StepError(f"fetch-depth must be a number, not '{depth}'")
    staging = machine.folders.staging(f"checkout-{call.number}")
    tree = staging / "tree"
    await asyncio.to_thread(tree.mkdir)
    await _clone(machine, tree, sha, int(depth))
    if call.inputs.get("persist-credentials", "true") != "false":
        await _remember_credentials(machine, tree, call.inputs.get("token") or machine.token)
    await asyncio.to_thread(give_tree, staging, machine.folders.account)
    target = machine.folders.workspace / call.inputs.get("path", ".")
    if not target.resolve().is_relative_to(machine.folders.workspace.resolve()):
        raise StepError(f"Repository path '{call.inputs['path']}' is not under the workspace")
    await call.script(COPY_IN, INTO=str(target), FROM=str(tree))
    await asyncio.to_thread(shutil.rmtree, staging)
    machine.log.write(f"HEAD is now at {sha}")
    return {"commit": sha, "ref": ref}


async def _clone(machine: Machine, tree: Path, sha: str, depth: int) -> None:
    git, run = machine.bare.git, machine.run
    await git.run("init", "--quiet", ".", directory=tree)
    await git.run("remote", "add", "origin", f"{run.server_url}/{machine.repository.full_name}.git", directory=tree)
    source = f"file://{machine.bare.path}"
    allow = ("-c", "protocol.file.allow=always")
    if depth:
        await git.run(*allow, "fetch", "--quiet", f"--depth={depth}", source, sha, directory=tree)
    else:
        spec = ("+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*")
        await git.run(*allow, "fetch", "--quiet", source, *spec, directory=tree)
        await git.run(*allow, "fetch", "--quiet", source, sha, directory=tree)
    if run.ref.startswith("refs/heads/") and sha == run.head_sha:
        branch = run.ref.removeprefix("refs/heads/")
        await git.run("update-ref", f"refs/remotes/origin/{branch}", sha, directory=tree)
        await git.run("checkout", "--quiet", "-B", branch, f"refs/remotes/origin/{branch}", "--", directory=tree)
    else:
        await git.run("checkout", "--quiet", "--detach", sha, "--", directory=tree)


async def _remember_credentials(machine: Machine, tree: Path, token: str) -> None:
    encoded = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    machine.log.mask([encoded])
    name = f"http.{machine.run.server_url}/.extraheader"
    await machine.bare.git.run("config", name, f"AUTHORIZATION: basic {encoded}", directory=tree)


async def setup_python(call: ActionCall) -> Mapping[str, str]:
    """actions/setup-python: the wanted version if it is installed, else the python3 there is, said in the log."""
    call.only(PYTHON_INPUTS)
    wanted = call.inputs.get("python-version", "").strip()
    match = VERSION.match(wanted)
    if wanted and match is None:
        raise StepError(f"this runner cannot read the python-version '{wanted}'")
    minor = match.group("minor") if match else None
    short = f"{match.group('major')}.{minor}" if match and minor and minor != "x" else ""
    machine = call.machine
    into = machine.folders.bin / f"python-{call.number}"
    await call.script(PREPARE_PYTHON, WANTED=short or "3", INTO=str(into), TOOLS=str(machine.tools))
    version = (into / "version").read_text(encoding="utf-8").strip()
    if short and not version.startswith(f"{short}."):
        machine.log.write(f"##[warning]Python {wanted} is not installed on this machine; using {version}.")
    machine.extra_path.append(str(into / "bin"))
    machine.variables["pythonLocation"] = str(into)
    return {"python-version": version, "python-path": str(into / "bin" / "python"), "cache-hit": "false"}


async def cache(call: ActionCall) -> Mapping[str, str]:
    """actions/cache: always a miss, and nothing is saved."""
    call.only(CACHE_INPUTS)
    key = call.inputs.get("key")
    if not key:
        raise StepError("Input required and not supplied: key")
    if call.inputs.get("fail-on-cache-miss") == "true":
        raise StepError(f"Failed to restore cache entry. Input key: {key}")
    call.machine.log.write(f"Cache not found for input keys: {key}")
    return {"cache-hit": "false", "cache-primary-key": key}


async def upload_artifact(call: ActionCall) -> Mapping[str, str]:
    """actions/upload-artifact: files of the workspace as a zip that REST hands out."""
    call.only(ARTIFACT_INPUTS)
    machine = call.machine
    name = call.inputs.get("name") or "artifact"
    paths = [line.strip() for line in call.inputs.get("path", "").splitlines() if line.strip()]
    if not paths:
        raise StepError("Input required and not supplied: path")
    if any(path.startswith("!") for path in paths):
        raise StepError("this runner does not support excluding paths from an artifact")
    collected = machine.folders.files / f"artifact-{call.number}.tar"
    shell = ("bash", "--noprofile", "--norc", "-O", "globstar", "-O", "nullglob", "-c", COLLECT)
    environment = {**call.environment, "WANTED": "\n".join(paths)}
    command = Command(shell, machine.folders.workspace, environment, call.timeout_seconds)
    outcome = await machine.groups.capture(command, collected)
    if outcome.code == 3:
        return _nothing_found(call, paths)
    if outcome.code:
        raise StepError(f"The files of the artifact could not be read (exit code {outcome.code}).")
    artifact = call.actions.add_artifact(machine.run.id, name)
    if artifact is None:
        raise StepError(f"Failed to CreateArtifact: an artifact with the name {name} already exists on the run")
    target = machine.artifacts / f"{artifact.id}.zip"
    count = await asyncio.to_thread(_to_zip, collected, target)
    size = target.stat().st_size
    call.actions.size_artifact(artifact.id, size)
    machine.log.write(f"Artifact {name} has been uploaded: {count} file(s), {size} bytes, id {artifact.id}")
    return {"artifact-id": str(artifact.id)}


def _nothing_found(call: ActionCall, paths: list[str]) -> Mapping[str, str]:
    message = f"No files were found with the provided path: {', '.join(paths)}. No artifacts will be uploaded."
    behaviour = call.inputs.get("if-no-files-found", "warn")
    if behaviour == "error":
        raise StepError(message)
    if behaviour == "warn":
        call.machine.log.write(f"##[warning]{message}")
    return {}


def _to_zip(source: Path, target: Path) -> int:
    count = 0
    with tarfile.open(source) as tar, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in tar:
            name = PurePosixPath(member.name.lstrip("/"))
            file = tar.extractfile(member) if member.isfile() else None
            if file is None or ".." in name.parts:
                continue
            with archive.open(str(name).removeprefix("./"), "w") as entry:
                shutil.copyfileobj(file, entry)
            count += 1
    source.unlink()
    return count


NATIVE: Mapping[str, Action] = {
    "actions/checkout": checkout,
    "actions/setup-python": setup_python,
    "actions/cache": cache,
    "actions/upload-artifact": upload_artifact,
}


def native(uses: str) -> Action:
    """Return the action a `uses` names; raises StepError for every other."""
    name, at, version = uses.partition("@")
    if not at or not version:
        raise StepError(f"Expected format {{org}}/{{repo}}[/path]@ref. Actual '{uses}'")
    if name.lower() not in NATIVE:
        raise StepError(f"this runner has no action '{uses}'; it has {', '.join(sorted(NATIVE))} and run steps")
    return NATIVE[name.lower()]
