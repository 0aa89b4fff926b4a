# Sourced: children that end with the script. A signal to the script alone reaches what it started, and the script does not
# wait for a build or a start to finish first.
group=""
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
# end_group : end what `guarded` runs, and wait until it has ended.
end_group() {
  local deadline=$((SECONDS + 20))
  trap '' INT TERM HUP
  if [ -z "$group" ]; then return; fi
  kill -TERM -- "-$group" 2>/dev/null || true
  while kill -0 -- "-$group" 2>/dev/null; do
    if [ "$SECONDS" -ge "$deadline" ]; then kill -KILL -- "-$group" 2>/dev/null || true; fi
    sleep 0.1
  done
}
# when_interrupted COMMAND : end the children, run the command, leave.
when_interrupted() {
  trap "end_group; $1; exit 130" INT
  trap "end_group; $1; exit 143" TERM HUP
}
