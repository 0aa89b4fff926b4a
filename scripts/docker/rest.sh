# Sourced. An engine finishes what it was asked for, also when whoever asked was interrupted or killed: what it still makes
# must be there before it can be removed.
REST_LOOKS=8
REST_SECONDS=30

# until_engine_rests PROJECT : return once the containers of a Compose project have stayed the same for a few seconds.
until_engine_rests() {
  local deadline=$((SECONDS + REST_SECONDS)) before="" now same=0
  while [ "$same" -lt "$REST_LOOKS" ] && [ "$SECONDS" -lt "$deadline" ]; do
    now="$(docker ps --all --quiet --filter "label=com.docker.compose.project=$1")"
    if [ "$now" = "$before" ]; then same=$((same + 1)); else same=0; fi
    before="$now"
    sleep 0.5
  done
}
