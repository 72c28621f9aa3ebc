#!/bin/sh
# Compares the program with other implementations, and has it talk with them. All of it stays on the loopback address.
#   sh tests/interop/run.sh path/to/cairn [PART [ARGUMENTS]]
# Parts, all of them unless one is named:
#   import [CASES [SEED]]      CIDs and CAR files of random inputs against the npm package ipfs-unixfs-importer
#   helia [SEED [SECTIONS]]    a daemon with Helia and js-libp2p: tcp,ws,names,kad,pubsub
#   rpc [SEED]                 the RPC of a daemon with kubo-rpc-client
#   gateway [SEED]             the gateway of a daemon with @helia/verified-fetch, a reader of CAR files, and curl
#   kubo [SEED]                a daemon with one of Kubo, which is $KUBO, else `ipfs` on the PATH
# With Kubo's `ipfs` as the program the suite is run against the reference, which checks the suite.
set -eu

binary=$(realpath "$1")
here=$(dirname "$(realpath "$0")")
shift
for tool in node npm; do
    command -v "$tool" >/dev/null || { echo "interop: $tool is not installed: apt-get install -y nodejs npm" >&2; exit 1; }
done

# Outside the checkout, and once for each set of versions.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/cairn-interop/$(cksum <"$here/package-lock.json" | cut -d' ' -f1)
if [ ! -e "$cache/complete" ]; then
    mkdir -p "$cache"
    cp "$here/package.json" "$here/package-lock.json" "$here/.npmrc" "$cache"
    (cd "$cache" && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error)
    touch "$cache/complete"
fi
cp "$here"/*.js "$cache"
# Helia needs Node.js 22, which comes as a package on Linux.
node=$cache/node_modules/.bin/node
[ -x "$node" ] || node=node

if [ $# -gt 0 ]; then
    part=$1
    shift
    exec "$node" "$cache/$part.js" "$binary" "$@"
fi
failed=
for part in import helia rpc gateway kubo; do
    "$node" "$cache/$part.js" "$binary" || failed="$failed $part"
done
[ -z "$failed" ] || { echo "interop: failed:$failed" >&2; exit 1; }
