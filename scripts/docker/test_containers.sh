#!/usr/bin/env bash
# Runs the tests that a file of docker/test names, in a runner beside the containers the file asks for, and removes
# everything whatever happens. Ends with pytest's exit code.
#   test_containers.sh docker/test/service/api.yml
#   test_containers.sh sweep      remove what killed runs of this checkout left behind
# JOBS   how many processes run tests (0: pytest itself)      ARGS   more arguments of pytest     IMAGES_ARE=made   do not look whether they are
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/group.sh
. scripts/docker/remains.sh
homes=.codegen/docker/levels
TAIL_LINES=40
READY_SECONDS=120
say() { printf 'tests in containers: %s\n' "$*" >&2; }

# remove HOME : what one run has on the engine, and its settings.
remove() {
  local label
  label="$(label_of "$1/env")"
  if [ -z "$label" ] || remove_remains "container network volume" "$label"; then rm -rf "$1"; fi
}

sweep() {
  local home is_interrupted=yes
  for home in "$homes"/*.*; do
    if [ -d "$home" ] && ! runs "${home##*.}"; then remove "$home"; fi
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
container() { docker ps --all --quiet --filter "label=$run_label" --filter "label=com.docker.compose.service=$1" | head -n 1; }

is_begun() { [ -n "$(docker ps --all --quiet --filter "label=$run_label")" ]; }

# The settings of this run: a project, ports and secrets of its own, all but the one tests sign their tokens with; and
# what the runner is told.
settings() {
  local secret
  scripts/docker/env.sh >/dev/null
  secret="$(sed -nE 's/^TEST_SECRET = "([^"]+)".*/\1/p' shared/testing/api_process.py)"
  sed -i "s/^API_JWT_SECRET=.*/API_JWT_SECRET=$secret/" "$CODEGEN_ENV"
  scripts/docker/env.sh render emulators >/dev/null
  run_label="$(label_of "$CODEGEN_ENV")"
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
run_label=""
export CODEGEN_ENV="$home/env" COMPOSE_HTTP_TIMEOUT=180
sweep
# Whatever is starting containers has ended before they are removed.
trap 'trap "" INT TERM HUP; remove "$home"' EXIT
when_interrupted :
if [ "${IMAGES_ARE:-}" != made ]; then
  # shellcheck disable=SC2046
  guarded scripts/docker/images.sh $(needs "$name")
fi
mkdir -p "$home"
started=$SECONDS
settings
if ! guarded start; then
  tail -n 15 "$home/compose.log" >&2
  for service in $(docker ps --all --filter "label=$run_label" --format '{{.Label "com.docker.compose.service"}}'); do
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
