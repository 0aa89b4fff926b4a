#!/usr/bin/env bash
# Puts Debian's Redis 7.0 beside the wheel's 6.2 for the tests: unpacked into .codegen/redis-7.0, nothing is started.
# Does nothing where /usr/bin/redis-server exists. Without apt-get it says why; the tests then skip that server.
set -euo pipefail
cd "$(dirname "$0")/.."

server=.codegen/redis-7.0/redis-server
say() { printf '%s\n' "redis 7.0: $*" >&2; }
if [ -x /usr/bin/redis-server ] || [ -x "$server" ]; then exit 0; fi
if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
  say "skipped: no /usr/bin/redis-server here and no apt-get to fetch one"
  exit 0
fi

mkdir -p .codegen
work="$(mktemp -d "$(realpath .codegen)/redis-7.0.XXXXXX")"
trap 'rm -rf "$work"' EXIT
packages=(redis-server redis-tools libatomic1 libjemalloc2 liblzf1)
fetch() { (cd "$work" && apt-get -qq -o APT::Sandbox::User=root download "${packages[@]}") >"$work/log" 2>&1; }
if ! fetch && ! { [ "$(id -u)" = 0 ] && apt-get -qq update >"$work/log" 2>&1 && fetch; }; then
  say "skipped: apt-get could not fetch it: $(tail -n 1 "$work/log")"
  exit 0
fi
for package in "$work"/*.deb; do dpkg-deb -x "$package" "$work/root"; done
rm -f "$work"/*.deb "$work/log"
cat >"$work/redis-server" <<'WRAPPER'
#!/bin/sh
root="$(dirname "$0")/root"
LD_LIBRARY_PATH="$(echo "$root"/usr/lib/*-linux-gnu)" exec "$root/usr/bin/redis-server" "$@"
WRAPPER
chmod 755 "$work" "$work/redis-server"
if ! said="$("$work/redis-server" --version 2>&1)"; then
  say "skipped: the fetched server does not run here: $said"
  exit 0
fi
trap - EXIT
mv -T "$work" .codegen/redis-7.0 2>/dev/null || rm -rf "$work"  # another run may have been quicker
say "ready (${said%% sha*})"
