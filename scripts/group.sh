# Sourced: children that end with the script. A signal to the script alone reaches what it started, and the script does not
# wait for a build or a start to finish first.
# END_SECONDS   how long children that end are waited for before they are killed
END_SECONDS="${END_SECONDS:-20}"
group=""
is_interrupted=""
# guarded COMMAND... : run a command in a process group of its own and return its status.
guarded() {
  local status=0
  set -m
  "$@" &
  group=$!
  set +m
  wait "$group" || status=$?
  group=""
  return "$status"
}
# group_runs : whether one of the group does more than wait to be collected; not every first process collects at once.
group_runs() { ps -A -o pgid=,stat= | awk -v group="$group" '$1 == group && $2 !~ /^Z/ { found = 1 } END { exit !found }'; }
# end_group : end what `guarded` runs, and wait until it has ended.
end_group() {
  local deadline=$((SECONDS + END_SECONDS))
  trap '' INT TERM HUP
  is_interrupted=yes
  if [ -z "$group" ]; then return; fi
  kill -TERM -- "-$group" 2>/dev/null || true
  while group_runs; do
    if [ "$SECONDS" -ge "$deadline" ]; then kill -KILL -- "-$group" 2>/dev/null || true; fi
    sleep 0.1
  done
}
# when_interrupted COMMAND : end the children, run the command, leave.
when_interrupted() {
  trap "end_group; $1; exit 130" INT
  trap "end_group; $1; exit 143" TERM HUP
}
# runs PID : whether a process is there and does more than wait to be collected by its parent.
runs() { [ -n "$(tr -d '\0' 2>/dev/null <"/proc/$1/cmdline")" ]; } 2>/dev/null
