#!/usr/bin/env bash
# The compose stack's commands; `make up`, `down`, `logs`, `ps`, `migrate`, `backup`, `restore`, `upgrade` call this.
#   stack.sh up [emulators]     images, settings, containers; returns when all are healthy
#   stack.sh down [wipe]        remove the containers and networks; with wipe the data as well
#   stack.sh backup [FOLDER]    rows, streams and the server's applications (default: backups/<time>)
#   stack.sh restore FOLDER     replace what is there by a backup
#   stack.sh wait               return when all containers there are healthy
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/group.sh
. scripts/docker/remains.sh

HEALTHY_SECONDS=180
STORES=(postgres redis)
JOBS='migrate|registration'
compose() { scripts/docker/compose.sh --profile emulators "$@"; }
say() { printf 'stack: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }
env_file="${CODEGEN_ENV:-.env}"
setting() { sed -n "s/^$1=//p" "$env_file"; }
project() { setting COMPOSE_PROJECT_NAME; }
need_settings() { [ -f "$env_file" ] || fail "there is no $env_file: run make env"; }

# container SERVICE : the id of its container, running or not.
container() { docker ps --all --quiet --filter "label=com.docker.compose.project=$(project)" --filter "label=com.docker.compose.service=$1" | head -n 1; }
# states : one line per container: service, state, health.
states() {
  docker ps --all --filter "label=com.docker.compose.project=$(project)" --format '{{.ID}}' | xargs -r docker inspect --format \
    '{{index .Config.Labels "com.docker.compose.service"}} {{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{end}} {{.State.ExitCode}}'
}
unready() { states | awk -v jobs="^($JOBS)$" '$1 ~ jobs { if ($2 != "exited" || $NF != 0) print $1; next } !($2 == "running" && $3 == "healthy") { print $1 }'; }

wait_healthy() {
  local deadline=$((SECONDS + HEALTHY_SECONDS)) waiting
  while waiting="$(unready | tr '\n' ' ')"; [ -n "$waiting" ]; do
    if [ "$SECONDS" -ge "$deadline" ]; then
      for service in $waiting; do
        say "$service is not healthy; its last words:"
        docker logs --tail 15 "$(container "$service")" >&2 2>&1 || true
      done
      fail "not healthy after $HEALTHY_SECONDS s: $waiting"
    fi
    sleep 0.5
  done
}

# abandon : remove what an interrupted first start made.
abandon() {
  say "interrupted: removing its containers"
  compose down --remove-orphans >/dev/null 2>&1 || true
  remove_remains "container network" "$(label_of "$env_file")" || say "not all could be removed: make down"
}

up() {
  local started=$SECONDS profile=()
  if [ "${1:-}" = emulators ]; then profile=(--profile emulators); elif [ -n "${1:-}" ]; then fail "there is no profile $1"; fi
  scripts/docker/engine.sh
  scripts/docker/env.sh
  # Who interrupts the first start gets back where he was; a system that runs stays.
  if [ -z "$(states)" ]; then when_interrupted abandon; else when_interrupted :; fi
  scripts/docker/env.sh render "$@"
  guarded scripts/docker/images.sh
  guarded scripts/docker/compose.sh "${profile[@]}" up -d --remove-orphans
  wait_healthy
  say "everything is healthy after $((SECONDS - started)) s"
  if [ -n "$(container server)" ]; then
    say "links of applications lead to $(setting SERVER_HOST) (SERVER_HOST in $env_file; at first this host alone)"
  fi
}

down() {
  need_settings
  case "${1:-}" in
    wipe) compose down --volumes --remove-orphans ;;
    "") compose down --remove-orphans ;;
    *) fail "unknown argument $1" ;;
  esac
}

need_running() { local service; for service in "$@"; do states | grep -q "^$service running" || fail "$service does not run: make up first"; done; }

# redis_cli ARGUMENT... : inside the container, with the password from its mounted settings.
redis_cli() { docker exec -i "$(container redis)" sh -c '. /run/secrets/service.env; REDISCLI_AUTH="$REDIS_PASSWORD" exec redis-cli "$@"' redis-cli "$@"; }

# with_volume VOLUME COMMAND... : a container without a network, as root because the files belong to several users.
with_volume() {
  local volume
  volume="$(project)_$1"
  shift
  docker run --rm -i --network none --user root --entrypoint "" --volume "$volume:/volume" "$(scripts/docker/prefix.sh)/tools-base" "$@"
}
has_volume() { docker volume inspect "$(project)_$1" >/dev/null 2>&1; }

cut_short() { fail "$1 came incomplete out of its container; what is there stays in *.partial: make backup again"; }

backup() {
  need_settings
  need_running "${STORES[@]}"
  local folder="${1:-backups/$(date -u +%Y%m%dT%H%M%SZ)}"
  [ ! -e "$folder" ] || fail "$folder exists already"
  mkdir -p "$folder.partial"
  chmod 700 "$folder.partial"
  # Rows first: streams that know more than the rows are harmless, and lost ones are announced again from the rows.
  # A busy engine may lose the end of what a command printed: each part is read to its end before it counts.
  docker exec "$(container postgres)" pg_dump --format=custom --username=postgres orchestrator >"$folder.partial/postgres.dump"
  docker exec -i "$(container postgres)" pg_restore --file=/dev/null <"$folder.partial/postgres.dump" || cut_short postgres.dump
  redis_cli --rdb /data/backup.rdb >/dev/null
  docker exec "$(container redis)" cat /data/backup.rdb >"$folder.partial/redis.rdb"
  docker exec -i "$(container redis)" cmp - /data/backup.rdb <"$folder.partial/redis.rdb" || cut_short redis.rdb
  docker exec "$(container redis)" rm /data/backup.rdb
  local volume
  for volume in server github telegram; do
    if has_volume "$volume"; then
      with_volume "$volume" tar -C /volume -cz . >"$folder.partial/$volume.tar.gz"
      gzip --test "$folder.partial/$volume.tar.gz" || cut_short "$volume.tar.gz"
    fi
  done
  mv "$folder.partial" "$folder"
  say "backup in $folder (keep $env_file as well, and apart from it)"
}

# run_job SERVICE : run a container that ends by itself once more, where the stack has it.
run_job() {
  local id
  id="$(container "$1")"
  [ -z "$id" ] || docker start --attach "$id" >/dev/null 2>&1 || fail "$1 failed: make logs NAME=$1"
}

restore() {
  need_settings
  local folder="${1:-}" volume others
  [ -f "$folder/postgres.dump" ] && [ -f "$folder/redis.rdb" ] || fail "name a folder that make backup wrote: make restore FROM=backups/…"
  need_running "${STORES[@]}"
  others="$(states | awk '$2 == "running" && $1 != "postgres" { print $1 }')"
  say "stopping everything but PostgreSQL"
  # shellcheck disable=SC2086
  compose stop $others
  docker exec -i "$(container postgres)" sh -c 'dropdb --force --username=postgres orchestrator && createdb --username=postgres --owner=orchestrator orchestrator
    psql --quiet --username=postgres --command="GRANT CREATE ON DATABASE orchestrator TO checkpoints"'
  docker exec -i "$(container postgres)" pg_restore --exit-on-error --username=postgres --dbname=orchestrator <"$folder/postgres.dump"
  # The append-only file is what Redis reads at its start: the snapshot becomes its base.
  with_volume redis sh -c 'rm -rf /volume/* && mkdir /volume/appendonlydir && cat >/volume/appendonlydir/appendonly.aof.1.base.rdb \
    && echo "file appendonly.aof.1.base.rdb seq 1 type b" >/volume/appendonlydir/appendonly.aof.manifest && chown -R 10002:10002 /volume && chmod 700 /volume/appendonlydir' <"$folder/redis.rdb"
  for volume in server github telegram; do
    if [ -f "$folder/$volume.tar.gz" ] && has_volume "$volume"; then
      with_volume "$volume" sh -c 'find /volume -mindepth 1 -delete && tar -C /volume -xz' <"$folder/$volume.tar.gz"
    fi
  done
  say "starting everything again"
  run_job migrate  # the backup may be of an older release
  # shellcheck disable=SC2086
  compose start $others
  run_job registration  # and of another host
  wait_healthy
  say "restored from $folder"
}

command="${1:-}"
shift || true
case "$command" in
  up | down | backup | restore) "$command" "$@" ;;
  upgrade) up "$@" ;;
  wait) need_settings; wait_healthy ;;
  migrate) need_settings; compose run --rm migrate ;;
  logs) need_settings; compose logs --tail=100 "$@" ;;
  ps) need_settings; states | sort | awk '{ printf "%-20s %-10s %s\n", $1, $2, $3 }' ;;
  *) sed -n '2,8p' "$0"; exit 2 ;;
esac
