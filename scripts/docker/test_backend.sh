#!/usr/bin/env bash
# Runs tests of tests/integration/backend on a real engine and removes every container, network and volume they started,
# whatever happens. What a killed run left behind goes first.
#   test_backend.sh TARGET [pytest arguments]
set -euo pipefail
cd "$(dirname "$0")/../.."
say() { printf 'backend tests: %s\n' "$*" >&2; }

# remove_labelled LABEL : containers with their volumes, and networks.
remove_labelled() {
  docker ps --all --quiet --filter "label=$1" | xargs -r docker rm --force --volumes >/dev/null 2>&1 || true
  docker network ls --quiet --filter "label=$1" | xargs -r docker network rm >/dev/null 2>&1 || true
}
sweep() {
  local run
  for run in $({ docker ps --all --filter label=codegen.test --format '{{.Label "codegen.test"}}'
      docker network ls --filter label=codegen.test --format '{{.Label "codegen.test"}}'; } | sort -u); do
    if [ ! -d "/proc/$run" ]; then remove_labelled "codegen.test=$run"; fi
  done
}

level="${1:-}"
shift || true
scripts/docker/engine.sh
sweep
export CODEGEN_TEST_RUN=$$
WORKER_IMAGES="$(scripts/docker/prefix.sh)"
export WORKER_IMAGES
trap 'remove_labelled "codegen.test=$CODEGEN_TEST_RUN"' EXIT
trap 'exit 130' INT TERM
case "$level" in
  test-worker-base-integration)
    scripts/docker/images.sh worker-base redis
    .venv/bin/pytest -q tests/integration/backend/test_worker_base.py "$@" ;;
  *) sed -n '2,4p' "$0"; exit 2 ;;
esac
