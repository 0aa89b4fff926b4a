#!/usr/bin/env bash
# Runs tests/e2e_compose against a stack of its own, with the emulators, and removes the stack whatever happens. Nothing of a
# stack that runs already is touched. After a failure every container's log is in .codegen/docker/test-logs.
set -euo pipefail
cd "$(dirname "$0")/../.."
home=.codegen/docker/test
logs=.codegen/docker/test-logs
export CODEGEN_ENV="$home/env"
say() { printf 'test stack: %s\n' "$*" >&2; }

remove() {
  if [ -f "$CODEGEN_ENV" ]; then scripts/docker/stack.sh down wipe >/dev/null 2>&1 || say "could not be removed whole: docker ps"; fi
  rm -rf "$home"
}
keep_logs() {
  local project name
  project="$(sed -n 's/^COMPOSE_PROJECT_NAME=//p' "$CODEGEN_ENV")"
  rm -rf "$logs"
  mkdir -p "$logs"
  for name in $(docker ps --all --filter "label=com.docker.compose.project=$project" --format '{{.Names}}'); do
    docker logs "$name" >"$logs/${name#"$project"?}.log" 2>&1
  done
  say "the containers' logs are in $logs"
}

scripts/docker/engine.sh
remove  # what a killed run left behind
trap remove EXIT
trap 'exit 130' INT TERM
status=0
scripts/docker/stack.sh up emulators || status=$?
if [ "$status" = 0 ]; then
  COMPOSE_STACK="$CODEGEN_ENV" .venv/bin/pytest -q tests/e2e_compose "$@" || status=$?
fi
if [ "$status" != 0 ]; then keep_logs; fi
exit "$status"
