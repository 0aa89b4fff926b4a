#!/usr/bin/env bash
# mypy strict over every file. A folder with a hyphen is no package name, so the conftest modules below one share the
# name "conftest" and are checked one by one; everything else is one run.
set -euo pipefail
cd "$(dirname "$0")/.."
mapfile -t files < <(git ls-files -co --exclude-standard '*.py' | grep -vE 'scaffolder/template/|/scenarios/' | while read -r f; do [ -f "$f" ] && echo "$f"; done)
together=() alone=()
for file in "${files[@]}"; do
  case "$file" in
    *-*/conftest.py) alone+=("$file") ;;
    *) together+=("$file") ;;
  esac
done
.venv/bin/mypy --no-error-summary "${together[@]}"
for file in "${alone[@]}"; do .venv/bin/mypy --no-error-summary "$file"; done
echo "types: ${#files[@]} files"
