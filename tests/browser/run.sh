#!/bin/sh
# Opens the gateway's pages, a website and a video in headless Chromium. All of it stays on the loopback address.
#   sh tests/browser/run.sh path/to/cairn
# $CHROMIUM is the browser, else `chromium` on the PATH. With $SCREENSHOTS, a directory, pictures of the pages are put there.
# What is missing is said, and the test skipped; with CAIRN_NO_SKIP=1 it fails.
set -eu

binary=$(realpath "$1")
here=$(dirname "$(realpath "$0")")
skip() {
    echo "browser: skipped: $1" >&2
    [ "${CAIRN_NO_SKIP:-}" != 1 ] || exit 1
    exit 0
}
for name in chromium chromium-browser google-chrome; do
    [ -n "${CHROMIUM:-}" ] || CHROMIUM=$(command -v "$name" || true)
done
[ -n "${CHROMIUM:-}" ] || skip "Chromium is not installed: run scripts/setup.sh browser, or set CHROMIUM"
for tool in node npm; do
    command -v "$tool" >/dev/null || skip "$tool is not installed: run scripts/setup.sh browser"
done
export CHROMIUM

# Outside the checkout, and once for each version.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/cairn-browser/$(cksum <"$here/package-lock.json" | cut -d' ' -f1)
if [ ! -e "$cache/complete" ]; then
    mkdir -p "$cache"
    cp "$here/package.json" "$here/package-lock.json" "$cache"
    (cd "$cache" && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error)
    touch "$cache/complete"
fi
interop=$here/../interop
cp "$here"/*.js "$interop/checks.js" "$interop/daemon.js" "$interop/random.js" "$cache"
# Some systems have an older Node.js than the driver wants; this one comes as a package on Linux.
node=$cache/node_modules/.bin/node
[ -x "$node" ] || node=node
exec "$node" "$cache/browser.js" "$binary"
