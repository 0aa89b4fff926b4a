#!/usr/bin/env bash
# The settings of the compose stack. `env.sh` makes .env when there is none; `env.sh render [emulators]` checks it and
# writes what each container mounts. See scripts/docker/env.py.
set -euo pipefail
cd "$(dirname "$0")/../.."
scripts/bootstrap.sh
exec .venv/bin/python scripts/docker/env.py "$@"
