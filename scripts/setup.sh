#!/bin/sh
# Installs what the build needs: a C++ compiler and libclang, for RocksDB. With the argument `test` also what some
# tests use and otherwise skip, with `browser` what the test in a browser needs. Says what is missing where it may not
# install.
set -eu

if ! command -v cargo >/dev/null 2>&1; then
    echo "setup: the Rust toolchain is missing: install it from https://rustup.rs, then run this again" >&2
    exit 1
fi

needed=
command -v c++ >/dev/null 2>&1 || needed="$needed g++"
command -v pkg-config >/dev/null 2>&1 || needed="$needed pkg-config"
# bindgen looks for any libclang; this is where Debian, Ubuntu and Fedora put it.
if [ -z "${LIBCLANG_PATH:-}" ] && ! ls /usr/lib/llvm-*/lib/libclang*.so* /usr/lib*/libclang*.so* \
    /usr/lib/*-linux-gnu/libclang*.so* 2>/dev/null | grep -q .; then
    needed="$needed libclang-dev"
fi
useful=
if [ "${1:-}" = test ]; then
    # Runs the program on processors that it was not built for.
    [ "$(uname -m)" != x86_64 ] || command -v qemu-x86_64 >/dev/null 2>&1 || useful="$useful qemu-user"
    # Networks of several machines on this one.
    PATH=$PATH:/usr/sbin:/sbin
    command -v ip >/dev/null 2>&1 || useful="$useful iproute2"
    command -v nft >/dev/null 2>&1 || useful="$useful nftables"
    # Mounting without being root, and programs that work in the mount.
    command -v fusermount3 >/dev/null 2>&1 || useful="$useful fuse3"
    for program in rsync sqlite3 fio git; do
        command -v "$program" >/dev/null 2>&1 || useful="$useful $program"
    done
elif [ "${1:-}" = browser ]; then
    [ -n "${CHROMIUM:-}" ] || command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 ||
        command -v google-chrome >/dev/null 2>&1 || useful="$useful chromium"
    command -v npm >/dev/null 2>&1 || useful="$useful nodejs npm"
fi
[ -z "$needed$useful" ] && exit 0

refuse() {
    [ -z "$useful" ] || echo "setup: some tests are skipped without$useful" >&2
    [ -n "$needed" ] || exit 0
    echo "setup: $1" >&2
    exit 1
}
command -v apt-get >/dev/null 2>&1 || refuse "please install$needed (named as in Debian), then run this again"
if [ "$(id -u)" -eq 0 ]; then
    sudo=
elif sudo -n true 2>/dev/null; then
    sudo=sudo
else
    refuse "please run: sudo apt-get install -y$needed$useful"
fi
echo "setup: installing$needed$useful"
$sudo apt-get update -qq || true
# shellcheck disable=SC2086  # lists of names
{
    [ -z "$needed" ] || DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq $needed >/dev/null
    [ -z "$useful" ] || DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq $useful >/dev/null ||
        echo "setup: some tests are skipped without$useful" >&2
}
