#!/bin/sh
# Installs Debian packages in a fetch stage and collects the files they changed under /layer, so that the final stage
# takes over exactly these: no lists, no caches, no sources of the building host.
# A name with a leading ? is optional: it is left out where the archive does not have it.
set -eu
. /fetch/settings.sh
if [ -f /fetch/sources.list ]; then
  rm -rf /etc/apt/sources.list.d
  mkdir -p /etc/apt/sources.list.d
  cp /fetch/sources.list /etc/apt/sources.list
fi
if [ -f /fetch/apt.conf ]; then cp /fetch/apt.conf /etc/apt/apt.conf.d/99host; fi
if [ -d /fetch/apt-auth ]; then mkdir -p /etc/apt/auth.conf.d && cp /fetch/apt-auth/* /etc/apt/auth.conf.d/; fi
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
apt-get update -qq

packages=""
for name in "$@"; do
  case "$name" in
    \?*) name="${name#\?}"; apt-cache show "$name" >/dev/null 2>&1 || continue ;;
  esac
  packages="$packages $name"
done
touch /stamp
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >/tmp/apt.log 2>&1 || { tail -n 20 /tmp/apt.log; exit 1; }

mkdir -p /layer
find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /fetch -o -path /layer -o -path /tmp -o -path /run \
    -o -path /var/cache -o -path /var/lib/apt -o -path /var/log -o -path /etc/apt -o -path /usr/share/doc \
    -o -path /usr/share/man -o -path /usr/share/info -o -path /usr/share/locale -o -path /usr/sbin/policy-rc.d \
    -o -path /etc/resolv.conf -o -path /etc/hosts -o -path /etc/hostname \) -prune \
  -o \( -type f -o -type l \) -cnewer /stamp -print0 | tar --null -T - -cf - | tar -xf - -C /layer
