#!/bin/bash
# Installs the Debian packages that building and testing need and this machine lacks; says nothing when all are there.
set -eu
PACKAGES="gcc make pkg-config libc6-dev libuv1-dev libcurl4-openssl-dev libjansson-dev libpcap-dev libyaml-dev libssl-dev libmicrohttpd-dev uthash-dev
libcmocka-dev clang libclang-rt-14-dev python3 python3-pytest python3-yaml openssl iproute2 iputils-arping nftables dnsmasq-base valgrind procps ca-certificates"
missing=""
for p in $PACKAGES; do
	dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q "ok installed" || missing="$missing $p"
done
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null; then
	echo "this machine lacks:$missing (names as in Debian 12); install them and try again" >&2
	exit 1
fi
SUDO=""
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || { echo "this machine lacks:$missing; install them as root and try again" >&2; exit 1; }
	SUDO="sudo"
fi
echo "installing Debian packages:$missing"
log=$(mktemp)
if ! { $SUDO apt-get update && $SUDO env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1; then
	tail -20 "$log" >&2
	echo "apt-get failed; the whole output is in $log" >&2
	exit 1
fi
rm -f "$log"
