"""The one git hook: a push that changes workflow files needs the `workflows` permission, as on GitHub."""

from pathlib import Path

PERMISSION_VARIABLE = "EMULATOR_MAY_CHANGE_WORKFLOWS"
PRE_RECEIVE = f"""#!/bin/sh
[ "${PERMISSION_VARIABLE}" = yes ] && exit 0
while read -r old new ref; do
  case $new in
    *[!0]*) ;;
    *) continue ;;
  esac
  changed=$(git log --format= --name-only "$new" --not --all -- .github/workflows | head -n 1)
  if [ -n "$changed" ]; then
    echo "refusing to allow a GitHub App to create or update workflow '$changed' without workflows permission" >&2
    exit 1
  fi
done
"""


def install_hooks(folder: Path) -> Path:
    """Write the hooks and return their folder."""
    folder.mkdir(exist_ok=True)
    path = folder / "pre-receive"
    path.write_text(PRE_RECEIVE, encoding="utf-8")
    path.chmod(0o755)
    return folder
