#!/usr/bin/env bash
# Prints what the names of this checkout's images begin with: IMAGE_PREFIX of the environment, else of .env, else
# `codegen`, or a name made of this checkout's path where another checkout has images on this engine already. The volume
# codegen-images remembers which checkout has the plain name.
set -euo pipefail
cd "$(dirname "$0")/../.."
env_file="${CODEGEN_ENV:-.env}"
prefix="${IMAGE_PREFIX:-}"
if [ -z "$prefix" ] && [ -r "$env_file" ]; then prefix="$(sed -n 's/^IMAGE_PREFIX=//p' "$env_file")"; fi
if [ -z "$prefix" ]; then
  prefix=codegen
  # Who creates the volume first has the name; for everybody else this changes nothing.
  docker volume create --label "codegen.checkout=$PWD" codegen-images >/dev/null 2>&1 || true
  owner="$(docker volume inspect --format '{{index .Labels "codegen.checkout"}}' codegen-images 2>/dev/null || true)"
  if [ -n "$owner" ] && [ "$owner" != "$PWD" ]; then prefix="codegen-$(printf %s "$PWD" | sha256sum | cut -c1-8)"; fi
fi
if ! [[ "$prefix" =~ ^codegen([._-][a-z0-9._-]*[a-z0-9])?$ ]]; then
  printf 'images: IMAGE_PREFIX is "%s": it has to be codegen, or codegen-… in small letters and digits\n' "$prefix" >&2
  exit 2
fi
echo "$prefix"
