#!/usr/bin/env bash
# Runs tests/e2e_compose and tests/lifecycle on a real engine and removes what they started, whatever happens. Nothing of
# a stack that runs already is touched. After a failure every container's log is in .codegen/docker/test-logs. What comes
# after the level are more arguments of pytest.
#   test_stack.sh test-compose       the conversation, what must hold of containers and data: on a stack of its own
#   test_stack.sh test-lifecycle     interrupts and upgrades, in a copy of this checkout
#   test_stack.sh test-registry      the base from a registry on the loopback address (Debian's package, not installed)
#   test_stack.sh sweep              only remove what a killed run left behind
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/group.sh
. scripts/docker/remains.sh
home=.codegen/docker/test
logs=.codegen/docker/test-logs
level="${1:-}"
NOTHING_CHOSEN=5
LAST=(tests/e2e_compose/test_compose_recovery.py tests/e2e_compose/test_compose_data.py)
shift || { sed -n '2,9p' "$0"; exit 2; }
export CODEGEN_ENV="$home/env"
COMPOSE_COPY_PREFIX="codegen-copy-$(printf %s "$PWD" | sha256sum | cut -c1-8)"
export COMPOSE_COPY_PREFIX
say() { printf 'test stack: %s\n' "$*" >&2; }

# settings : of every stack there is, or was before a run was killed.
settings() { find "$home" -type f \( -name env -o -name .env \) 2>/dev/null || true; }
remove() {
  local env labels=()
  trap '' INT TERM HUP
  for env in $(settings); do labels+=("$(label_of "$env")"); done
  remove_remains "container network volume" "${labels[@]}" || return 0  # their settings stay, for the next run to try again
  docker image ls --filter "reference=$COMPOSE_COPY_PREFIX/*" --filter "reference=$COMPOSE_COPY_PREFIX-worker" --format '{{.Repository}}:{{.Tag}}' | xargs -r docker rmi --force >/dev/null
  rm -rf "$home"
}
keep_logs() {
  local env name
  rm -rf "$logs"
  mkdir -p "$logs"
  for env in $(settings); do
    for name in $(docker ps --all --filter "label=$(label_of "$env")" --format '{{.Names}}'); do
      docker logs "$name" >"$logs/$name.log" 2>&1
    done
  done
  say "the containers' logs are in $logs"
}

# find_registry : put a registry's program on the PATH, of Debian's package where there is none.
find_registry() {
  local kept=.codegen/docker/registry
  export PATH="$PATH:$PWD/$kept/usr/bin"
  if command -v docker-registry >/dev/null; then return; fi
  say "fetching the package docker-registry into $kept; it is not installed"
  mkdir -p "$kept"
  if ! (cd "$kept" && apt-get download -qq docker-registry >/dev/null && dpkg-deb -x docker-registry_*.deb .); then
    say "there is no docker-registry: install the package of this name, then try again"
    exit 3
  fi
}

# pytest_of ARGUMENT... : unless something failed before.
pytest_of() {
  if [ "$status" = 0 ]; then guarded .venv/bin/pytest -q "$@" || status=$?; fi
}

scripts/docker/engine.sh
is_interrupted=yes remove  # what a killed run left behind
trap remove EXIT
when_interrupted :
status=0
case "$level" in
  test-compose)
    export COMPOSE_FILE=docker-compose.yml:docker/test/e2e/system.yml
    guarded scripts/docker/stack.sh up emulators || status=$?
    export COMPOSE_STACK="$CODEGEN_ENV"
    pytest_of -n 2 --dist loadfile tests/e2e_compose "${LAST[@]/#/--ignore=}" "$@"
    before=$status
    if [ "$before" = "$NOTHING_CHOSEN" ]; then status=0; fi
    # What kills every container, and what stops and removes them, comes last, with nothing beside it.
    pytest_of "${LAST[@]}" "$@"
    if [ "$status" = "$NOTHING_CHOSEN" ]; then status=$((before == 0 ? 0 : NOTHING_CHOSEN)); fi ;;
  test-lifecycle | test-registry)
    scripts/bootstrap.sh
    tests=tests/lifecycle
    if [ "$level" = test-registry ]; then
      tests=tests/e2e_compose/test_compose_registry.py
      find_registry
    fi
    guarded scripts/docker/images.sh || status=$?
    COMPOSE_ALONE="$level" pytest_of "$tests" "$@" ;;
  sweep) ;;  # done
  *) say "unknown argument $level"; exit 2 ;;
esac
if [ "$status" != 0 ]; then keep_logs; fi
exit "$status"
