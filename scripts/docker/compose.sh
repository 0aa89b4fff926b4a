#!/usr/bin/env bash
# Runs whichever Compose this machine has, for this checkout's file and project: the v2 plugin, else docker-compose 1.29.
set -euo pipefail
cd "$(dirname "$0")/../.."
# CODEGEN_ENV names the settings of a second stack. `version` and the like work before there are any.
env_file=()
if [ -f "${CODEGEN_ENV:-.env}" ]; then
  env_file=(--env-file "${CODEGEN_ENV:-.env}")
  IMAGE_PREFIX="$(scripts/docker/prefix.sh)"
  export IMAGE_PREFIX
fi
if docker compose version >/dev/null 2>&1; then exec docker compose "${env_file[@]}" "$@"; fi
if command -v docker-compose >/dev/null 2>&1; then exec docker-compose "${env_file[@]}" "$@"; fi
echo "docker: no Compose is installed; run scripts/docker/engine.sh" >&2
exit 3
