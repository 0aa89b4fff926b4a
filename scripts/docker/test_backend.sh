#!/usr/bin/env bash
# Runs tests of workers on a real engine and removes every container, network and volume they started, whatever happens;
# what killed runs left behind goes first. Each target of the Makefile names what it needs:
#   test_backend.sh test-worker-base-integration | test-integration-milestone | test-integration-backend [pytest arguments]
#   test_backend.sh sweep      only remove what killed runs left behind
# JOBS   how many processes run tests      IMAGES_ARE=made   do not look whether they are
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/group.sh
. scripts/docker/remains.sh
homes=.codegen/docker/backend
HEALTHY_SECONDS=120
say() { printf 'backend tests: %s\n' "$*" >&2; }

# remove_run PID : what one run started: its own containers, its services, the workers these started.
remove_run() {
  local stack labels=("codegen.test=$1")
  stack="$(label_of "$homes/$1/env")"
  if [ -n "$stack" ]; then labels+=("$stack" "codegen.worker.installation=${stack#*=}"); fi
  if remove_remains "container network volume" "${labels[@]}"; then rm -rf "${homes:?}/$1"; fi
}
sweep() {
  local run is_interrupted=yes
  for run in $({ docker ps --all --filter label=codegen.test --format '{{.Label "codegen.test"}}'
      docker network ls --filter label=codegen.test --format '{{.Label "codegen.test"}}'
      ls "$homes" 2>/dev/null; } | sort -u); do
    if ! runs "$run"; then remove_run "$run"; fi
  done
}

# Images of workers on a base that has been replaced are of no use to any test.
remove_old_images() {
  local source
  source="$(docker image inspect --format '{{index .Config.Labels "codegen.source"}}' "$WORKER_IMAGES/worker-base")"
  docker image ls --quiet --filter "label=codegen.image=worker" --filter "label=codegen.worker.environment=$WORKER_IMAGES-worker" \
    | xargs -r docker image inspect --format '{{index .Config.Labels "codegen.worker.source"}} {{index .RepoTags 0}}' \
    | awk -v source="$source" '$1 != source { print $2 }' | xargs -r docker image rm >/dev/null 2>&1 || true
}

health() { docker ps --all --filter "label=$run_label" --format '{{.Label "com.docker.compose.service"}} {{.Status}}'; }

# settings FILES : of this run, its project and its secrets; what Compose and the tests are told of them.
settings() {
  scripts/docker/env.sh >/dev/null
  scripts/docker/env.sh render emulators >/dev/null
  run_label="$(label_of "$CODEGEN_ENV")"
  export BUILD_SETTINGS="$PWD/$home/build-settings" COMPOSE_FILE="$1" BACKEND_STACK="$CODEGEN_ENV"
  .venv/bin/python scripts/docker/host_settings.py "$BUILD_SETTINGS" bookworm
}
# start SERVICE... : the services, healthy.
start() {
  local service waiting deadline=$((SECONDS + HEALTHY_SECONDS)) started=$SECONDS
  scripts/docker/compose.sh --profile emulators up --detach "$@" >"$home/compose.log" 2>&1 || { tail -n 15 "$home/compose.log" >&2; return 1; }
  while waiting="$(for service in "$@"; do health | grep -q "^$service .*(healthy)" || echo "$service"; done)"; [ -n "$waiting" ]; do
    if [ "$SECONDS" -ge "$deadline" ]; then
      say "not healthy after $HEALTHY_SECONDS s: $waiting"
      return 1
    fi
    sleep 0.3
  done
  say "the services are ready after $((SECONDS - started)) s"
}
show_logs() {
  local id
  for id in $(docker ps --all --quiet --filter "label=$run_label"); do
    say "the last lines of $(docker inspect --format '{{.Name}}' "$id"):"
    docker logs --tail 25 "$id" >&2 2>&1 || true
  done
}

target="${1:-}"
shift || true
here=tests/integration/backend
milestone=docker-compose.yml:docker/test/integration/phase1-milestone.yml
stores="redis postgres api worker-manager emulator-anthropic"
images="worker-base worker-fetch redis postgres api worker-manager emulators"
files=""
services=""
case "$target" in
  test-worker-base-integration)
    images="worker-base redis"
    tests="$here/test_worker_base.py" ;;
  test-integration-milestone)
    files=$milestone services=$stores
    tests="$here/test_phase1_milestone.py" ;;
  test-integration-backend)
    files=$milestone:docker/test/integration/backend.yml services="$stores emulator-github langgraph"
    images="$images langgraph"
    tests="$here services/worker-manager/tests/service/test_docker_images.py services/worker-manager/tests/service/test_runtime_contract.py" ;;
  sweep) ;;
  *) sed -n '2,6p' "$0"; exit 2 ;;
esac

scripts/docker/engine.sh
sweep
if [ "$target" = sweep ]; then exit 0; fi
home="$homes/$$"
run_label=""
export CODEGEN_TEST_RUN=$$ CODEGEN_ENV="$home/env"
trap 'trap "" INT TERM HUP; remove_run $$' EXIT
when_interrupted :
if [ "${IMAGES_ARE:-}" != made ]; then
  # shellcheck disable=SC2086
  guarded scripts/docker/images.sh $images
fi
WORKER_IMAGES="$(scripts/docker/prefix.sh)"
export WORKER_IMAGES
remove_old_images
mkdir -p "$home"
chmod 700 "$home"
status=0
if [ -n "$files" ]; then
  settings "$files"
  # shellcheck disable=SC2086
  guarded start $services || status=$?
fi
if [ "$status" = 0 ]; then
  # shellcheck disable=SC2086
  guarded .venv/bin/pytest -q -n "${JOBS:-2}" --dist loadfile $tests "$@" || status=$?
fi
if [ "$status" != 0 ] && [ -n "$run_label" ]; then show_logs; fi
exit "$status"
