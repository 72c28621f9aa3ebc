#!/bin/sh
# Compares CIDs and CAR files of random inputs with those of another implementation, which runs on Node.js.
#   sh tests/interop/run.sh path/to/cairn [cases [seed]]
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
    cp "$here/package.json" "$here/package-lock.json" "$cache"
    (cd "$cache" && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error)
    touch "$cache/complete"
fi
cp "$here"/*.js "$cache"
exec node "$cache/compare.js" "$binary" "$@"
