#!/usr/bin/env bash
# Runs tests of workers on a real engine and removes every container, network and volume they started, whatever happens;
# what killed runs left behind goes first. Each target of the Makefile names what it needs:
#   test_backend.sh test-worker-base-integration | test-integration-milestone | test-integration-backend [pytest arguments]
# JOBS   how many processes run tests      IMAGES_ARE=made   do not look whether they are
set -euo pipefail
cd "$(dirname "$0")/../.."
homes=.codegen/docker/backend
HEALTHY_SECONDS=120
say() { printf 'backend tests: %s\n' "$*" >&2; }

# remove_labelled LABEL : containers with their volumes, networks, volumes.
remove_labelled() {
  docker ps --all --quiet --filter "label=$1" | xargs -r docker rm --force --volumes >/dev/null 2>&1 || true
  docker network ls --quiet --filter "label=$1" | xargs -r docker network rm >/dev/null 2>&1 || true
  docker volume ls --quiet --filter "label=$1" | xargs -r docker volume rm >/dev/null 2>&1 || true
}
# remove_run PID : what one run started: its own containers, its services, the workers these started.
remove_run() {
  local project
  project="$(sed -n 's/^COMPOSE_PROJECT_NAME=//p' "$homes/$1/env" 2>/dev/null || true)"
  if [ -n "$project" ]; then
    remove_labelled "com.docker.compose.project=$project"
    remove_labelled "codegen.worker.installation=$project"
    remove_labelled "com.docker.compose.project=$project"  # the network, now that no worker is in it
  fi
  remove_labelled "codegen.test=$1"
  rm -rf "${homes:?}/$1"
}
sweep() {
  local run
  for run in $({ docker ps --all --filter label=codegen.test --format '{{.Label "codegen.test"}}'
      docker network ls --filter label=codegen.test --format '{{.Label "codegen.test"}}'
      ls "$homes" 2>/dev/null; } | sort -u); do
    if [ ! -d "/proc/$run" ]; then remove_run "$run"; fi
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

health() { docker ps --all --filter "label=com.docker.compose.project=$project" --format '{{.Label "com.docker.compose.service"}} {{.Status}}'; }

# start FILES SERVICE... : the services, healthy, in a project of their own.
start() {
  local files="$1" service waiting deadline=$((SECONDS + HEALTHY_SECONDS)) started=$SECONDS
  shift
  scripts/docker/env.sh >/dev/null
  scripts/docker/env.sh render emulators >/dev/null
  project="$(sed -n 's/^COMPOSE_PROJECT_NAME=//p' "$CODEGEN_ENV")"
  export BUILD_SETTINGS="$PWD/$home/build-settings" COMPOSE_FILE="$files" BACKEND_STACK="$CODEGEN_ENV"
  .venv/bin/python scripts/docker/host_settings.py "$BUILD_SETTINGS" bookworm
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
  for id in $(docker ps --all --quiet --filter "label=com.docker.compose.project=$project"); do
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
  *) sed -n '2,5p' "$0"; exit 2 ;;
esac

scripts/docker/engine.sh
sweep
home="$homes/$$"
project=""
child=""
export CODEGEN_TEST_RUN=$$ CODEGEN_ENV="$home/env"
trap 'if [ -n "$child" ]; then kill -TERM -- "-$child" 2>/dev/null && wait "$child" || true; fi; remove_run $$' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
if [ "${IMAGES_ARE:-}" != made ]; then
  # shellcheck disable=SC2086
  setsid scripts/docker/images.sh $images & child=$!
  wait "$child"
fi
WORKER_IMAGES="$(scripts/docker/prefix.sh)"
export WORKER_IMAGES
remove_old_images
mkdir -p "$home"
chmod 700 "$home"
status=0
if [ -n "$files" ]; then
  # shellcheck disable=SC2086
  start "$files" $services || status=$?
fi
if [ "$status" = 0 ]; then
  # shellcheck disable=SC2086
  # In a group of its own, which is ended as a whole: what runs behind this script does not hear Ctrl-C.
  setsid .venv/bin/pytest -q -n "${JOBS:-2}" --dist loadfile $tests "$@" & child=$!
  wait "$child" || status=$?
fi
child=""
if [ "$status" != 0 ] && [ -n "$project" ]; then show_logs; fi
exit "$status"
