#!/usr/bin/env bash
# Everything this machine can run, level by level; a failing level does not hold up the others. Ends with each level's
# time and one summary line in pytest's form.
set -euo pipefail
cd "$(dirname "$0")/.."
SERVICES=(api worker-manager infra-service scheduler scaffolder langgraph telegram-bot)
logs=.codegen/test
rows=()
failed_levels=0
child=""
say() { printf '\n== %s\n' "$*"; }
trap 'if [ -n "$child" ]; then kill "$child" 2>/dev/null && wait "$child" || true; fi' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# run NAME COMMAND...
run() {
  local name="$1" started=$SECONDS status=0
  shift
  say "$name"
  "$@" >"$logs/$name.log" 2>&1 & child=$!
  tail --pid "$child" --lines +1 --follow "$logs/$name.log" &
  wait "$child" || status=$?
  child=""
  wait
  rows+=("$(printf '%-24s %5d s  %s' "$name" $((SECONDS - started)) "$(if [ "$status" = 0 ]; then echo ok; else echo "FAILED ($status)"; fi)")")
  if [ "$status" != 0 ]; then failed_levels=$((failed_levels + 1)); fi
}

# count WORD : how many tests ended so, by the summaries of every pytest run.
count() {
  sed -nE "s/.*[^0-9]?\b([0-9]+) $1s?\b.* in [0-9.]+s.*/\1/p" "$logs"/*.log | awk '{ sum += $1 } END { print sum + 0 }'
}

rm -rf "$logs"
mkdir -p "$logs"
scripts/bootstrap.sh
.venv/bin/codegen agents
if scripts/docker/engine.sh; then
  export TEST_ON=containers
else
  export TEST_ON=processes
  echo "skipped: test-compose and the workers in containers, for want of a Docker engine (above); services run as processes"
fi
run checks make checks
TEST_ON=processes run unit scripts/test_level.sh unit
run component scripts/test_level.sh component
run libraries scripts/test_level.sh libraries
if [ "$TEST_ON" = containers ]; then
  for service in "${SERVICES[@]}"; do run "service-$service" scripts/test_level.sh service "$service"; done
else
  run service scripts/test_level.sh service
fi
for part in template deploy frontend; do run "integration-$part" scripts/test_level.sh integration "$part"; done
run benchmarks .venv/bin/pytest -q tests/benchmarks
run e2e make test-e2e
if [ "$TEST_ON" = containers ]; then
  run workers make test-integration-backend
  run compose make test-compose
fi

say "time of each level"
printf '%s\n' "${rows[@]}"
# A level that failed without a failing test, as the checks do, counts as an error.
failed="$(count failed)" errors="$(count error)"
if [ $((failed + errors)) -lt "$failed_levels" ]; then errors=$((failed_levels - failed)); fi
summary="$(count passed) passed"
if [ "$failed" != 0 ]; then summary="$failed failed, $summary"; fi
if [ "$(count skipped)" != 0 ]; then summary+=", $(count skipped) skipped"; fi
if [ "$errors" != 0 ]; then summary+=", $errors errors"; fi
printf '===== %s in %d.00s =====\n' "$summary" "$SECONDS"
[ "$failed_levels" = 0 ]
