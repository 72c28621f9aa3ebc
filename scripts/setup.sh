#!/bin/sh
# Installs what the build needs: a C++ compiler and libclang, for RocksDB. Says what is missing where it may not.
set -eu

if ! command -v cargo >/dev/null 2>&1; then
    echo "setup: the Rust toolchain is missing: install it from https://rustup.rs, then run this again" >&2
    exit 1
fi

missing=
command -v c++ >/dev/null 2>&1 || missing="$missing g++"
command -v pkg-config >/dev/null 2>&1 || missing="$missing pkg-config"
# bindgen looks for any libclang; this is where Debian, Ubuntu and Fedora put it.
if [ -z "${LIBCLANG_PATH:-}" ] && ! ls /usr/lib/llvm-*/lib/libclang*.so* /usr/lib*/libclang*.so* \
    /usr/lib/*-linux-gnu/libclang*.so* >/dev/null 2>&1; then
    missing="$missing libclang-dev"
fi
[ -z "$missing" ] && exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "setup: please install$missing (named as in Debian), then run this again" >&2
    exit 1
fi
if [ "$(id -u)" -eq 0 ]; then
    sudo=
elif sudo -n true 2>/dev/null; then
    sudo=sudo
else
    echo "setup: please run: sudo apt-get install -y$missing" >&2
    exit 1
fi
echo "setup: installing$missing"
$sudo apt-get update -qq
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq $missing >/dev/null
