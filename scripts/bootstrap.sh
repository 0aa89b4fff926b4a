#!/usr/bin/env bash
# Makes .venv match requirements.lock and the members of this repository. Idempotent: a stamp skips what is done.
set -euo pipefail
cd "$(dirname "$0")/.."

# As root, PostgreSQL and the workers run as other users. When these cannot enter the checkout (below /root, say), the
# environment and the state move to /var/tmp, and the members are installed as copies instead of links to the source.
is_reachable() {
  local path="$PWD"
  [ "$(id -u)" = 0 ] || return 0
  while [ "$path" != / ]; do
    case "$(stat -c %A "$path")" in *[xt]) ;; *) return 1 ;; esac
    path="$(dirname "$path")"
  done
}
mode=links
copied=""
if ! is_reachable; then
  mode=copies
  elsewhere="/var/tmp/codegen-$(printf %s "$PWD" | sha256sum | cut -c1-12)"
  copied="$(find shared services packages -type f -not -path '*/tests/*' -not -path '*/__pycache__/*' -not -path '*/build/*' \
    -not -path '*.egg-info/*' -print0 | sort -z | xargs -0 sha256sum | sha256sum)"
fi
stamp=.venv/.bootstrap-stamp
declared="$(cat requirements.lock shared/pyproject.toml services/*/pyproject.toml packages/*/pyproject.toml scripts/bootstrap.sh | sha256sum)"
want="$declared $copied $PWD"

say() { printf '%s\n' "bootstrap: $*" >&2; }

# Processes of other users cannot write bytecode beside the source, and PYTHONDONTWRITEBYTECODE forbids it to all: without
# this each start of a service compiles everything it imports. Templates stay as they are: they are copied, not imported.
compile_members() {
  local compiled=.venv/.compiled-stamp
  if [ "$mode" != links ]; then return; fi
  if [ -e "$compiled" ] && [ -z "$(find shared services/*/src packages/*/src -name '*.py' -newer "$compiled" -print -quit)" ]; then return; fi
  touch "$compiled.new"
  .venv/bin/python -m compileall -q -j 0 -x '/(template|scenarios|build)/' shared services/*/src packages/*/src \
    || say "not everything could be compiled (above): that is compiled at each start"
  mv "$compiled.new" "$compiled"
}
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ]; then compile_members; exit 0; fi

fail() { say "$1"; say "fix: $2"; exit 1; }

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
find_python() {
  # As root, an interpreter every user may run comes first: the stores and the workers run as other users.
  local candidate
  for candidate in ${CODEGEN_PYTHON:-} /usr/bin/python3 /usr/local/bin/python3 python3.13 python3.12 python3.11 python3; do
    if command -v "$candidate" >/dev/null 2>&1 && is_new_enough "$candidate"; then command -v "$candidate"; return; fi
  done
  return 1
}
python="$(find_python)" || fail "no Python 3.11 or newer was found" "install python3.11 (Debian: apt-get install python3) or set CODEGEN_PYTHON"

find_uv() {
  if [ -n "${UV:-}" ]; then echo "$UV"; return; fi
  if command -v uv >/dev/null 2>&1; then command -v uv; return; fi
  local tools installer
  tools="$(realpath -m .codegen)/tools"
  if [ ! -x "$tools/bin/uv" ]; then
    for installer in "$python -m pip" pip3 pip "python3 -m pip"; do
      if $installer --version >/dev/null 2>&1; then
        say "installing uv into .codegen/tools"
        $installer install --quiet --target "$tools" --upgrade uv >&2 && break
      fi
    done
  fi
  [ -x "$tools/bin/uv" ] && echo "$tools/bin/uv"
}
uv="$(find_uv)" || fail "uv was not found and pip could not install it" "install uv or python3-pip, then run make again"

if [ "$mode" = copies ] && [ ! -L .venv ]; then
  say "other users cannot enter $PWD: using $elsewhere for the environment and the state"
  rm -rf .venv .codegen
  mkdir -p -m 0755 "$elsewhere" "$elsewhere/venv" "$elsewhere/state"
  ln -s "$elsewhere/venv" .venv
  ln -s "$elsewhere/state" .codegen
fi

venv="$(realpath -m .venv)"  # scripts name the interpreter by this path
say "python $("$python" -c 'import platform; print(platform.python_version())'), $("$uv" --version | cut -d' ' -f1-2)"
[ -x .venv/bin/python ] || "$uv" venv --quiet --allow-existing --python "$python" "$venv"
say "installing the locked dependencies"
"$uv" pip install --quiet --compile-bytecode --python "$venv/bin/python" --require-hashes -r requirements.lock
say "installing the members"
members=()
for member in shared services/* packages/*; do
  if [ "$mode" = links ]; then members+=(-e "./$member"); else members+=("./$member"); fi
done
reinstall=()
if [ "$mode" = copies ]; then reinstall=(--reinstall); fi
"$uv" pip install --quiet --compile-bytecode --python "$venv/bin/python" --no-deps --no-build-isolation "${reinstall[@]}" "${members[@]}"
rm -f .venv/.compiled-stamp  # of another interpreter, maybe
compile_members
printf '%s' "$want" > "$stamp"
say "ready"
