#!/usr/bin/env bash
# Runs the tests that a file of docker/test names, in a runner beside the containers the file asks for, and removes
# everything whatever happens. Ends with pytest's exit code.
#   test_containers.sh docker/test/service/api.yml
#   test_containers.sh sweep      remove what killed runs of this checkout left behind
# JOBS   how many processes run tests      ARGS   more arguments of pytest     IMAGES_ARE=made   do not look whether they are
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/docker/group.sh
. scripts/docker/rest.sh
homes=.codegen/docker/levels
TAIL_LINES=40
READY_SECONDS=120
REMOVE_SECONDS=30
say() { printf 'tests in containers: %s\n' "$*" >&2; }

# remove HOME : the containers, networks and volumes of one run, by the label of its project, and its settings.
remove() {
  local project label deadline=$((SECONDS + REMOVE_SECONDS))
  project="$(sed -n 's/^COMPOSE_PROJECT_NAME=//p' "$1/env" 2>/dev/null || true)"
  if [ -n "$project" ]; then
    label="label=com.docker.compose.project=$project"
    # More than once: the engine may still finish what it was asked for before.
    until [ -z "$(docker ps --all --quiet --filter "$label"; docker network ls --quiet --filter "$label"; docker volume ls --quiet --filter "$label")" ]; do
      if [ "$SECONDS" -ge "$deadline" ]; then
        say "$project could not be removed whole: docker ps"
        return
      fi
      docker ps --all --quiet --filter "$label" | xargs -r docker rm --force --volumes >/dev/null 2>&1 || true
      docker network ls --quiet --filter "$label" | xargs -r docker network rm >/dev/null 2>&1 || true
      docker volume ls --quiet --filter "$label" | xargs -r docker volume rm >/dev/null 2>&1 || true
    done
  fi
  rm -rf "$1"
}

sweep() {
  local home
  for home in "$homes"/*.*; do
    if [ -d "$home" ] && [ ! -d "/proc/${home##*.}" ]; then
      until_engine_rests "$(sed -n 's/^COMPOSE_PROJECT_NAME=//p' "$home/env" 2>/dev/null || true)"
      remove "$home"
    fi
  done
}

needs() {
  case "$1" in
    unit) echo runner ;;
    api) echo redis postgres api runner ;;
    scaffolder) echo redis postgres api scaffolder emulators runner ;;
    telegram-bot | frontend) echo redis postgres api telegram-bot emulators runner ;;
    *) echo redis postgres api "$1" runner ;;
  esac
}

compose() {
  local files=(--file "$file")
  if [ "$level" != unit ]; then files=(--file docker-compose.yml --file docker/test/runner.yml --file "$file"); fi
  scripts/docker/compose.sh --project-directory . "${files[@]}" --profile emulators "$@"
}
container() { docker ps --all --quiet --filter "label=com.docker.compose.project=$project" --filter "label=com.docker.compose.service=$1" | head -n 1; }

is_begun() { [ -n "$(docker ps --all --quiet --filter "label=com.docker.compose.project=$project")" ]; }

# The settings of this run: a project, ports and secrets of its own, all but the one tests sign their tokens with; and
# what the runner is told.
settings() {
  local secret
  scripts/docker/env.sh >/dev/null
  secret="$(.venv/bin/python -c 'from shared.testing.api_process import TEST_SECRET; print(TEST_SECRET)')"
  sed -i "s/^API_JWT_SECRET=.*/API_JWT_SECRET=$secret/" "$CODEGEN_ENV"
  scripts/docker/env.sh render emulators >/dev/null
  project="$(sed -n 's/^COMPOSE_PROJECT_NAME=//p' "$CODEGEN_ENV")"
  (
    # shellcheck disable=SC1090
    . "$CODEGEN_ENV"
    umask 077
    printf '%s\n' "TEST_DATABASE_URL=postgresql://orchestrator:$POSTGRES_PASSWORD@postgres:5432/orchestrator" \
      "TEST_REDIS_URL=redis://:$REDIS_PASSWORD@redis:6379/0" >"$home/secrets/runner.env"
  )
}

# Containers of the level are up when this returns, the runner has begun. A machine that is busy may take a container for
# unhealthy that is only slow; Compose gives up then, and is asked again until the deadline.
start() {
  local deadline=$((SECONDS + READY_SECONDS)) up
  compose up --detach runner >"$home/compose.log" 2>&1 & up=$!
  if [ "$level" != unit ]; then
    # The tests' databases need this; the services on the way to the runner take longer.
    until [ -n "$(container postgres)" ] && docker exec "$(container postgres)" psql --quiet --username=postgres --command='ALTER ROLE orchestrator CREATEDB' >/dev/null 2>&1; do
      if [ "$SECONDS" -ge "$deadline" ] || ! { is_begun || kill -0 "$up"; } 2>/dev/null; then return 1; fi
      sleep 0.3
    done
  fi
  until wait "$up"; do
    if [ "$SECONDS" -ge "$deadline" ] || ! is_begun; then return 1; fi
    compose up --detach runner >"$home/compose.log" 2>&1 & up=$!
  done
}

# show_log SERVICE : the end of a container's log, for the reader of a failure.
show_log() {
  local id
  id="$(container "$1")"
  if [ -n "$id" ]; then
    say "the last lines of $1:"
    docker logs --tail "$TAIL_LINES" "$id" >&2 2>&1 || true
  fi
}

if [ "${1:-}" = sweep ]; then sweep; exit 0; fi
file="$1"
name="$(basename "$file" .yml)"
level="$(basename "$(dirname "$file")")"
home="$homes/$level-$name.$$"
project=""
export CODEGEN_ENV="$home/env" COMPOSE_HTTP_TIMEOUT=180
sweep
# Whatever is starting containers has ended before they are removed.
trap 'remove "$home"' EXIT
when_interrupted 'until_engine_rests "$project"'
if [ "${IMAGES_ARE:-}" != made ]; then
  # shellcheck disable=SC2046
  guarded scripts/docker/images.sh $(needs "$name")
fi
mkdir -p "$home"
started=$SECONDS
settings
if ! guarded start; then
  tail -n 15 "$home/compose.log" >&2
  for service in $(docker ps --all --filter "label=com.docker.compose.project=$project" --format '{{.Label "com.docker.compose.service"}}'); do
    show_log "$service"
  done
  say "the containers of $file did not get ready"
  exit 1
fi
say "$name: containers ready after $((SECONDS - started)) s"
guarded docker logs --follow "$(container runner)"
status="$(docker wait "$(container runner)")"
if [ "$status" != 0 ]; then show_log "$name"; fi
exit "$status"
