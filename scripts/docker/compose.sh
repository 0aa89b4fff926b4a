#!/usr/bin/env bash
# Runs whichever Compose this machine has, for this checkout's file and project: the v2 plugin, else docker-compose 1.29.
set -euo pipefail
cd "$(dirname "$0")/../.."
if docker compose version >/dev/null 2>&1; then exec docker compose "$@"; fi
if command -v docker-compose >/dev/null 2>&1; then exec docker-compose "$@"; fi
echo "docker: no Compose is installed; run scripts/docker/engine.sh" >&2
exit 3
