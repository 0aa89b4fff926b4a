#!/usr/bin/env bash
# Runs the tests of one level. The Makefile's targets call this; so do the hooks, through them.
#   test_level.sh LEVEL [MEMBER]    unit, component, service, integration; without a member all of the level
#   test_level.sh libraries         the service tests of what is not deployed: shared and the packages
#   test_level.sh paths             what each level collects: level and folder, one pair a line
# JOBS     how many processes run tests (0: pytest itself)     ARGS    more arguments of pytest
# TEST_ON  containers or processes; without it containers where an engine answers or can be started
set -euo pipefail
cd "$(dirname "$0")/.."
END_SECONDS=90 # what runs in containers removes these first
. scripts/group.sh
SERVICES=(api worker-manager infra-service scheduler scaffolder langgraph telegram-bot)
JOBS="${JOBS:-2}"
ARGS="${ARGS:-}"
level="${1:-}"
member="${2:-}"
say() { printf 'tests: %s\n' "$*" >&2; }

folders() {
  case "$1" in
    unit | component) ls -d shared/tests/"$1" {services,packages}/*/tests/"$1" 2>/dev/null || true ;;
    service) printf 'services/%s/tests/service\n' "${SERVICES[@]}" ;;
    libraries) ls -d shared/tests/service packages/*/tests/service ;;
    integration) ls -d tests/integration/*/ | sed 's#/$##' ;;
    others) ls -d tests/e2e tests/e2e_compose tests/lifecycle tests/benchmarks ;;
  esac
}

# folder_of LEVEL MEMBER
folder_of() {
  local folder
  for folder in "services/$2/tests/$1" "packages/$2/tests/$1" "$2/tests/$1" "tests/$1/$2"; do
    if [ -d "$folder" ]; then echo "$folder"; return; fi
  done
  say "$2 has no tests of the level $1"
  return 2
}

# has_engine : whether tests can run in containers; says in one line why not.
has_engine() {
  case "${TEST_ON:-}" in containers) return 0 ;; processes) return 1 ;; esac
  mkdir -p .codegen/docker
  local log=.codegen/docker/engine.log
  if scripts/docker/engine.sh 2> >(tee "$log" | grep --line-buffered -E ': (installing|starting) ' >&2); then return 0; fi
  say "no Docker engine ($(sed -n 's/^docker: //p' "$log" | tail -n 1)): processes instead, with stores from wheels"
  return 1
}

# on_processes FOLDER... : tests of one file share what it started, except where everything is small.
on_processes() {
  local by=loadfile
  case "$level" in unit | component | libraries) by=load ;; esac
  scripts/bootstrap.sh
  # shellcheck disable=SC2086
  guarded .venv/bin/python scripts/supervise.py .venv/bin/pytest -q -n "$JOBS" --dist "$by" "$@" $ARGS
}

# in_containers LEVEL NAME
in_containers() { guarded scripts/docker/test_containers.sh "docker/test/$1/$2.yml"; }

service() {
  local name failed=0
  if ! has_engine; then
    # shellcheck disable=SC2046
    on_processes $(if [ -n "$member" ]; then folder_of service "$member"; else folders service; fi)
    return
  fi
  for name in ${member:-"${SERVICES[@]}"}; do
    if [ -z "$member" ]; then say "$name"; fi
    in_containers service "$name" || failed=1
  done
  return "$failed"
}

when_interrupted :
export JOBS ARGS
case "$level" in
  paths)
    for name in unit component service libraries integration others; do
      for folder in $(folders "$name"); do printf '%s %s\n' "$name" "$folder"; done
    done ;;
  service)
    if [ -n "$member" ] && [[ " ${SERVICES[*]} " != *" $member "* ]]; then
      on_processes "$(folder_of service "$member")"
    else
      service
    fi ;;
  libraries)
    scripts/redis7.sh
    # shellcheck disable=SC2046
    on_processes $(folders libraries) ;;
  integration)
    if [ -f "docker/test/integration/$member.yml" ] && has_engine; then
      in_containers integration "$member"
    else
      on_processes "$(folder_of integration "$member")"
    fi ;;
  unit | component)
    if [ "${TEST_ON:-}" = containers ] && [ "$level" = unit ]; then
      TESTS="$(if [ -n "$member" ]; then folder_of unit "$member"; else folders unit; fi | tr '\n' ' ')"
      export TESTS
      in_containers unit unit
    else
      # shellcheck disable=SC2046
      on_processes $(if [ -n "$member" ]; then folder_of "$level" "$member"; else folders "$level"; fi)
    fi ;;
  *) sed -n '2,7p' "$0"; exit 2 ;;
esac
