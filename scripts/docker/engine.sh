#!/usr/bin/env bash
# Makes a Docker engine and Compose answer. Idempotent. As root on Debian or Ubuntu it installs what is missing, after
# saying so; for anybody else, or with CODEGEN_INSTALL=no, it prints the commands and ends with 3.
#   engine.sh          make both answer
#   engine.sh check    say what is there, change nothing
set -euo pipefail
cd "$(dirname "$0")/../.."

ANSWER_SECONDS=15
START_SECONDS=60
state=.codegen/docker
say() { printf 'docker: %s\n' "$*" >&2; }

engine_version() { timeout "$ANSWER_SECONDS" docker version --format '{{.Server.Version}}' 2>/dev/null; }
compose_version() { scripts/docker/compose.sh version --short 2>/dev/null; }

is_debian() { grep -qE '^(ID|ID_LIKE)=.*(debian|ubuntu)' /etc/os-release 2>/dev/null && command -v apt-get >/dev/null; }
may_change() { [ "$(id -u)" = 0 ] && [ "${CODEGEN_INSTALL:-yes}" != no ] && is_debian; }

# refuse WHAT COMMAND... : name what is missing and the exact commands that mend it.
refuse() {
  say "$1"
  shift
  if [ "${CODEGEN_INSTALL:-yes}" = no ]; then
    say "CODEGEN_INSTALL=no: nothing was changed; run this, then try again:"
  elif ! is_debian; then
    say "this is neither Debian nor Ubuntu: install the packages of the same name with your package manager:"
  else
    say "only root may do this; run this, then try again:"
  fi
  printf '  %s\n' "$@" >&2
  exit 3
}

install() {
  say "installing $* with apt-get (CODEGEN_INSTALL=no prevents this)"
  local log="$state/install.log"
  apt-get update -qq >>"$log" 2>&1 || say "apt-get update failed, trying with the lists that are there; see $log"
  if ! DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >>"$log" 2>&1; then
    tail -n 5 "$log" >&2
    say "apt-get could not install $*; see $log"
    exit 1
  fi
}

start_engine() {
  if [ -d /run/systemd/system ]; then
    say "starting the docker service"
    systemctl start docker
  else
    say "starting dockerd; its log: $state/dockerd.log"
    rm -f /var/run/docker.pid
    setsid nohup dockerd >>"$state/dockerd.log" 2>&1 </dev/null &
  fi
  local deadline=$((SECONDS + START_SECONDS))
  until engine_version >/dev/null; do
    if [ "$SECONDS" -ge "$deadline" ]; then
      if [ -f "$state/dockerd.log" ]; then tail -n 5 "$state/dockerd.log" >&2; fi
      say "dockerd did not answer within $START_SECONDS s"
      exit 1
    fi
    sleep 0.5
  done
}

ensure_engine() {
  if engine_version >/dev/null; then return; fi
  if [ -S /var/run/docker.sock ] && [ "$(id -u)" != 0 ] && [ ! -w /var/run/docker.sock ]; then
    refuse "an engine is there, but $(id -un) may not talk to it" "sudo usermod -aG docker $(id -un)   # then log in again"
  fi
  if ! command -v dockerd >/dev/null; then
    may_change || refuse "no Docker engine answers" "sudo apt-get update" \
      "sudo apt-get install -y --no-install-recommends docker.io iptables" "sudo systemctl start docker"
    install docker.io iptables
  fi
  if engine_version >/dev/null; then return; fi
  may_change || refuse "a Docker engine is installed, but it does not run" "sudo systemctl start docker"
  start_engine
}

compose=""
ensure_compose() {
  if compose="$(compose_version)"; then return; fi
  may_change || refuse "there is no Docker Compose" "sudo apt-get update" \
    "sudo apt-get install -y --no-install-recommends docker-compose"
  install docker-compose
}

case "${1:-}" in
  "")
    mkdir -p "$state"
    ensure_engine
    ensure_compose
    ;;
  check) ;;
  *) say "unknown argument $1"; exit 2 ;;
esac
if ! engine="$(engine_version)" || [ -z "$engine" ]; then say "no engine answers"; exit 3; fi
if [ -z "$compose" ] && { ! compose="$(compose_version)" || [ -z "$compose" ]; }; then say "engine $engine, but no Compose"; exit 3; fi
say "engine $engine, compose $compose"
