#!/usr/bin/env bash
# Runs tests/e2e_compose on a real engine and removes what they started, whatever happens. Nothing of a stack that runs
# already is touched. After a failure every container's log is in .codegen/docker/test-logs.
#   test_stack.sh test-compose       the conversation, what must hold of containers and data: on stacks of their own
#   test_stack.sh test-lifecycle     interrupts and upgrades, in a copy of this checkout
#   test_stack.sh test-registry      the base from a registry on the loopback address (Debian's package, not installed)
#   test_stack.sh sweep              only remove what a killed run left behind
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/docker/group.sh
home=.codegen/docker/test
logs=.codegen/docker/test-logs
level="${1:-}"
recovery=tests/e2e_compose/test_compose_recovery.py
shift || { sed -n '2,7p' "$0"; exit 2; }
export CODEGEN_ENV="$home/env"
COMPOSE_COPY_PREFIX="codegen-copy-$(printf %s "$PWD" | sha256sum | cut -c1-8)"
export COMPOSE_COPY_PREFIX
say() { printf 'test stack: %s\n' "$*" >&2; }

# settings : of every stack there is, or was before a run was killed.
settings() { find "$home" -type f \( -name env -o -name .env \) 2>/dev/null || true; }
project() { sed -n 's/^COMPOSE_PROJECT_NAME=//p' "$1"; }
remove() {
  local env id
  trap '' INT TERM HUP
  for env in $(settings); do
    # Nothing of it is kept, so nothing is stopped gracefully.
    id="label=com.docker.compose.project=$(project "$env")"
    docker ps --all --quiet --filter "$id" | xargs -r docker rm --force --volumes >/dev/null || true
    docker network ls --quiet --filter "$id" | xargs -r docker network rm >/dev/null || true  # its own script may be removing it
    docker volume ls --quiet --filter "$id" | xargs -r docker volume rm >/dev/null || true
  done
  docker image ls --filter "reference=$COMPOSE_COPY_PREFIX/*" --format '{{.Repository}}:{{.Tag}}' | xargs -r docker rmi --force >/dev/null
  rm -rf "$home"
}
keep_logs() {
  local env name
  rm -rf "$logs"
  mkdir -p "$logs"
  for env in $(settings); do
    for name in $(docker ps --all --filter "label=com.docker.compose.project=$(project "$env")" --format '{{.Names}}'); do
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

scripts/docker/engine.sh
remove  # what a killed run left behind
trap remove EXIT
when_interrupted :
status=0
case "$level" in
  test-compose)
    export COMPOSE_FILE=docker-compose.yml:docker/test/e2e/system.yml
    guarded scripts/docker/stack.sh up emulators || status=$?
    export COMPOSE_STACK="$CODEGEN_ENV"
    if [ "$status" = 0 ]; then
      guarded .venv/bin/pytest -q -n 2 --dist loadfile tests/e2e_compose "--ignore=$recovery" "$@" || status=$?
    fi
    # What kills every container comes last, with nothing beside it.
    if [ "$status" = 0 ]; then guarded .venv/bin/pytest -q "$recovery" "$@" || status=$?; fi ;;
  test-lifecycle | test-registry)
    scripts/bootstrap.sh
    if [ "$level" = test-registry ]; then find_registry; fi
    guarded scripts/docker/images.sh || status=$?
    if [ "$status" = 0 ]; then
      guarded env COMPOSE_ALONE="$level" .venv/bin/pytest -q "tests/e2e_compose/test_compose_${level#test-}.py" "$@" || status=$?
    fi ;;
  sweep) ;;  # done
  *) say "unknown argument $level"; exit 2 ;;
esac
if [ "$status" != 0 ]; then keep_logs; fi
exit "$status"
