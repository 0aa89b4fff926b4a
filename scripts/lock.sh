#!/usr/bin/env bash
# Resolves every member's dependencies once, with hashes, into requirements.lock (no index address is written).
set -euo pipefail
cd "$(dirname "$0")/.."
uv="${UV:-uv}"
"$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
  --no-annotate --no-emit-package shared "$@" -o requirements.lock \
  shared/pyproject.toml services/*/pyproject.toml packages/*/pyproject.toml --group dev
