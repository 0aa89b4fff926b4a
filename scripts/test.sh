#!/usr/bin/env bash
# Everything this machine can run, level by level, two levels at a time: one that mostly works beside one that mostly waits
# for containers; a level in one process counts as half a level. A failing level does not hold up the others. A level's
# output comes when it ends; the last lines are each level's time and one summary in pytest's form.
# LANES   how many levels run at once (1: one after the other)
set -euo pipefail
cd "$(dirname "$0")/.."
LANES="${LANES:-2}"
JOBS="${JOBS:-2}"
unset PYTHONDONTWRITEBYTECODE  # every process of every test would compile anew what it imports
LONG=(worker-manager api infra-service)
SHORT=(scaffolder scheduler langgraph telegram-bot)
logs=.codegen/test
say() { printf '\n== %s\n' "$*"; }

declare -A command_of queue_of pid_of began halves_of
rows=()
running=()
processes=()
containers=()
failed_levels=0
are_images_made=no
end_all() {
  local name
  for name in "${running[@]}"; do kill "${pid_of[$name]}" 2>/dev/null || true; done
  for name in "${running[@]}"; do wait "${pid_of[$name]}" || true; done
}
trap end_all EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# level QUEUE NAME COMMAND [half] : long ones first, so that the end has only small ones to share out.
level() {
  local -n queue="$1"
  queue+=("$2")
  queue_of[$2]="$1"
  command_of[$2]="$3"
  halves_of[$2]=2
  if [ "${4:-}" = half ] && [ "$LANES" -gt 1 ]; then halves_of[$2]=1; fi
}

has_room() {
  local name halves=0
  for name in "${running[@]}"; do halves=$((halves + halves_of[$name])); done
  [ "$halves" -lt $((2 * LANES)) ]
}

start() {
  local name="$1"
  say "$name begins"
  # shellcheck disable=SC2086
  env ${command_of[$name]} >"$logs/$name.log" 2>&1 &
  pid_of[$name]=$!
  began[$name]=$SECONDS
  running+=("$name")
}

# start_next : a level of the kind of which fewer run; of the other kind when there is none. False when nothing can start.
start_next() {
  local name of_containers=0
  for name in "${running[@]}"; do
    if [ "${queue_of[$name]}" = containers ]; then of_containers=$((of_containers + 1)); fi
  done
  local may_use_containers=no
  if [ "${#containers[@]}" != 0 ] && { [ "$are_images_made" = yes ] || [ "${containers[0]}" = images ]; }; then may_use_containers=yes; fi
  if [ $may_use_containers = yes ] && { [ "${#processes[@]}" = 0 ] || [ $((2 * of_containers)) -lt "${#running[@]}" ]; }; then
    start "${containers[0]}"
    containers=("${containers[@]:1}")
  elif [ "${#processes[@]}" != 0 ]; then
    start "${processes[0]}"
    processes=("${processes[@]:1}")
  else
    return 1
  fi
}

# finish NAME : tell how a level ended.
finish() {
  local name="$1" status=0 word=ok took=$((SECONDS - began[$1])) left=() other
  wait "${pid_of[$name]}" || status=$?
  for other in "${running[@]}"; do if [ "$other" != "$name" ]; then left+=("$other"); fi; done
  running=("${left[@]}")
  if [ "$status" != 0 ]; then word="FAILED ($status)"; failed_levels=$((failed_levels + 1)); fi
  rows+=("$(printf '%-24s %5d s  %s' "$name" "$took" "$word")")
  if [ "$name" = images ] && [ "$status" = 0 ]; then are_images_made=yes; fi
  if [ "$name" = images ] && [ "$status" != 0 ]; then
    for other in "${containers[@]}"; do rows+=("$(printf '%-24s       -  NOT RUN: its images are missing' "$other")"); done
    failed_levels=$((failed_levels + ${#containers[@]}))
    containers=()
  fi
  say "$name: $word after $took s"
  cat "$logs/$name.log"
}

# finish_ended : all levels whose process is gone.
finish_ended() {
  local name
  for name in "${running[@]}"; do
    if ! kill -0 "${pid_of[$name]}" 2>/dev/null; then finish "$name"; fi
  done
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
# Two levels keep two processors busy; half of what the libraries' tests do is waiting. A short level or one that only
# computes runs in pytest's own process (JOBS=0): each more would first load and collect everything again.
level processes checks "make checks" half
level processes unit "JOBS=0 TEST_ON=processes scripts/test_level.sh unit" half
level processes e2e "make test-e2e"
level processes libraries "JOBS=$((JOBS + 1)) scripts/test_level.sh libraries"
level processes integration-template "scripts/test_level.sh integration template"
level processes component "JOBS=0 scripts/test_level.sh component" half
level processes benchmarks ".venv/bin/python scripts/supervise.py .venv/bin/pytest -q tests/benchmarks" half
level processes integration-deploy "JOBS=0 scripts/test_level.sh integration deploy" half
if [ "$TEST_ON" = containers ]; then
  # Made once, before the first level that needs some; the levels then need not look.
  level containers images "scripts/docker/images.sh redis postgres ${LONG[*]} ${SHORT[*]} emulators runner worker-base worker-fetch"
  level containers compose "make test-compose"
  level containers workers "IMAGES_ARE=made make test-integration-backend"
  for service in "${LONG[@]}"; do level containers "service-$service" "IMAGES_ARE=made scripts/test_level.sh service $service"; done
  for service in "${SHORT[@]}"; do level containers "service-$service" "IMAGES_ARE=made JOBS=0 scripts/test_level.sh service $service" half; done
  level containers integration-frontend "IMAGES_ARE=made JOBS=0 scripts/test_level.sh integration frontend" half
else
  level processes service "scripts/test_level.sh service"
  level processes integration-frontend "scripts/test_level.sh integration frontend"
fi

while :; do
  while has_room && start_next; do :; done
  if [ "${#running[@]}" = 0 ]; then break; fi
  wait -n || true
  finish_ended
done

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
