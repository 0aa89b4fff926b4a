"""Ansible module `server_folder`: folders and whole files below one path, in a single call.

Each call of a module costs an interpreter on the server; the same by `file` and `copy` takes seven.
"""

from __future__ import annotations

import base64
import os
import stat
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: server_folder
short_description: Make folders and files below a path what they should be
description:
  - Folders come first, then files, each in the order given. A file is replaced as a whole, or not at all.
options:
  path: {description: The folder all others are below; missing parents are made., type: path, required: true}
  folders:
    description: Folders by their path below O(path), empty for itself.
    type: list
    elements: dict
    options:
      path: {type: str, required: true}
      mode: {type: str, required: true}
  files:
    description: Files by their path below O(path), with their content in base64.
    type: list
    elements: dict
    options:
      path: {type: str, required: true}
      mode: {type: str, required: true}
      content: {type: str, required: true}
"""
RETURN = r"""
paths: {description: What was made or changed, in order., type: list, elements: str, returned: always}
"""
_FOLDER = {"path": {"type": "str", "required": True}, "mode": {"type": "str", "required": True}}
_FILE = {**_FOLDER, "content": {"type": "str", "required": True, "no_log": True}}
ARGUMENTS = {
    "path": {"type": "path", "required": True},
    "folders": {"type": "list", "elements": "dict", "options": _FOLDER, "default": []},
    "files": {"type": "list", "elements": "dict", "options": _FILE, "default": []},
}


def set_mode(path: Path, mode: int) -> bool:
    """Return whether the mode was another."""
    if stat.S_IMODE(path.stat().st_mode) == mode:
        return False
    path.chmod(mode)
    return True


def make_folder(path: Path, mode: int) -> bool:
    """Return whether the folder had to be made or changed."""
    is_new = not path.is_dir()
    if is_new:
        path.mkdir(parents=True)
    return set_mode(path, mode) or is_new


def make_file(path: Path, mode: int, content: bytes) -> bool:
    """Return whether the file had to be written or changed: beside it, then moved over it."""
    if path.is_file() and path.read_bytes() == content:
        return set_mode(path, mode)
    descriptor, fresh = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(fresh).chmod(mode)
        Path(fresh).replace(path)
    except BaseException:
        Path(fresh).unlink(missing_ok=True)
        raise
    return True


def place(root: Path, folders: list[dict[str, str]], files: list[dict[str, str]]) -> list[str]:
    """Make everything what it should be; return the paths of what was not. Raises OSError."""
    changed = []
    for folder in folders:
        path = root / folder["path"]
        if make_folder(path, int(folder["mode"], 8)):
            changed.append(str(path))
    for file in files:
        path = root / file["path"]
        if make_file(path, int(file["mode"], 8), base64.b64decode(file["content"])):
            changed.append(str(path))
    return changed


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS)
    try:
        changed = place(Path(module.params["path"]), module.params["folders"], module.params["files"])
    except OSError as error:
        module.fail_json(msg=f"{error.filename}: {error.strerror}")
    module.exit_json(changed=bool(changed), paths=changed)


if __name__ == "__main__":
    main()
