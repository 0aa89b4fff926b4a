# Sourced, beside scripts/group.sh. What a run has on the engine is found by labels, and removed until nothing of it is
# left: an engine finishes what it was asked for, also when whoever asked was interrupted or killed.
LOOKS_AFTER_INTERRUPT=8
REMOVE_SECONDS=60
# Engines lose count when a container dies and is started again: a network then keeps an endpoint of nobody's, and goes
# only when the engine is started anew (20.10: 2 of 98 networks of 14 containers that were all killed).
MISCOUNTED_SECONDS=10

# remains KIND LABEL... : the ids of the containers, networks or volumes that carry one of the labels.
remains() {
  local kind="$1" all="" value
  shift
  if [ "$kind" = container ]; then all=--all; fi
  for value in "$@"; do docker "$kind" ls $all --quiet --filter "label=$value" || return 1; done
}

# remove_remains KINDS LABEL... : remove what is there of these kinds ("container network volume", in this order), at once
# and by force. Returns when one look found nothing; after an interrupt, when several in a row did. 1: not all is gone.
remove_remains() {
  local kinds="$1" kind found something empty=0 wanted=1 deadline=$((SECONDS + REMOVE_SECONDS)) in_use=$SECONDS
  shift
  if [ $# = 0 ]; then return 0; fi
  if [ -n "$is_interrupted" ]; then wanted=$LOOKS_AFTER_INTERRUPT; fi
  while :; do
    something=""
    for kind in $kinds; do
      found="$(remains "$kind" "$@")" || return 1
      something+="$found"
      if [ -n "$found" ] && [ "$kind" != network ]; then in_use=$SECONDS; fi
      # Another may be removing the same, or the engine still be starting it: the next look tells.
      case "$kind" in
        container) xargs -r docker container rm --force --volumes <<<"$found" >/dev/null 2>&1 || true ;;
        *) xargs -r docker "$kind" rm <<<"$found" >/dev/null 2>&1 || true ;;
      esac
    done
    if [ -z "$something" ]; then empty=$((empty + 1)); else empty=0; fi
    if [ "$empty" -ge "$wanted" ]; then return 0; fi
    if [ "$empty" = 0 ] && [ "$SECONDS" -ge $((in_use + MISCOUNTED_SECONDS)) ]; then
      printf 'docker: the engine takes networks for used that nothing is in; its next start removes them: %s\n' "$something" >&2
      return 0
    fi
    if [ "$SECONDS" -ge "$deadline" ]; then
      printf 'docker: after %s s there is still something labelled %s: %s\n' "$REMOVE_SECONDS" "$*" "$something" >&2
      return 1
    fi
    if [ "$empty" = 0 ]; then sleep 0.1; else sleep 0.5; fi
  done
}

# label_of ENV_FILE : the label of the Compose project with these settings; nothing where there are none.
label_of() { sed -n 's/^COMPOSE_PROJECT_NAME=/com.docker.compose.project=/p' "$1" 2>/dev/null || true; }
