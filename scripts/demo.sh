#!/bin/sh
# The main job, on a real folder, in a repository of its own that is removed at the end.
set -eu
cairn=${1:?usage: demo.sh PROGRAM}
sources=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/cairn-demo.XXXXXX")
nodes=
stop_nodes() {
    # shellcheck disable=SC2086  # a list of processes
    [ -z "$nodes" ] || kill $nodes 2>/dev/null || true
    wait
    nodes=
}
mounts=
unmount_all() {
    for dir in $mounts; do
        name=${dir##*/mount-}
        CAIRN_PATH="$work/$name" "$cairn" umount "$dir" || true
    done
    mounts=
}
# Never through a mount: what is in it is not this script's to remove.
trap 'unmount_all; stop_nodes; rm -rf --one-file-system "$work"' EXIT
trap 'exit 130' INT TERM
export CAIRN_PATH="$work/repository"
megabytes=${DEMO_MEGABYTES:-256}

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] || say() { printf '\n== %s\n' "$*"; }
run() { printf '$ cairn %s\n' "$*"; "$cairn" "$@"; }
now() { date +%s%N; }

say "A folder: the sources of Cairn, and a file of $megabytes MiB"
mkdir "$work/folder"
(cd "$sources" && tar cf - store cli docs) | tar xf - -C "$work/folder"
head -c "$((megabytes << 20))" /dev/urandom >"$work/folder/big.bin"
ln -s big.bin "$work/folder/link"
printf '%s files, %s\n' "$(find "$work/folder" -type f | wc -l)" "$(du -sh "$work/folder" | cut -f1)"

say "Add it: when the last line is printed, all of it is on the disk and pinned"
run init --profile=unixfs-v1-2025
printf '$ cairn add -r folder\n'
begin=$(now)
"$cairn" add -r "$work/folder" >"$work/added"
end=$(now)
# The tree: folders, and what lies at the top, indented by depth.
awk -F/ '
    { cid = $1; sub(/^added /, "", cid); sub(/ .*/, "", cid); sub(/^added [^ ]* /, ""); path[NR] = $0; name[$0] = cid
      folder = $0; if (sub("/[^/]*$", "", folder)) inside[folder] = 1 }
    END { for (i = NR; i > 0; i--) { n = split(path[i], part, "/")
        if (n < 4 && (n < 3 || path[i] in inside)) printf "%s  %*s%s\n", name[path[i]], 2 * n, "", part[n] } }
' "$work/added"
cid=$(tail -n 1 "$work/added" | cut -d' ' -f2)
bytes=$(du -sb "$work/folder" | cut -f1)
speed() { awk -v b="$bytes" -v n="$(($2 - $1))" 'BEGIN { printf "%.0f MB/s", b / n * 1e3 }'; }
printf '%s, durable\n' "$(speed "$begin" "$end")"

say "Look at it"
run ls "/ipfs/$cid"
printf '$ cairn cat /ipfs/%s/cli/Cargo.toml | head -n 3\n' "$cid"
"$cairn" cat "/ipfs/$cid/cli/Cargo.toml" | head -n 3

say "Read it back, and compare byte for byte"
begin=$(now)
"$cairn" get -o "$work/back" "$cid" >/dev/null
end=$(now)
diff -r "$work/folder" "$work/back"
"$cairn" cat "$cid/big.bin" | cmp - "$work/folder/big.bin"
printf 'the same; %s\n' "$(speed "$begin" "$end")"

say "It is pinned"
run pin ls --type=recursive

say "Carry it to another repository in a CAR file"
begin=$(now)
"$cairn" dag export "$cid" >"$work/folder.car"
end=$(now)
printf 'exported: %s\n' "$(speed "$begin" "$end")"
export CAIRN_PATH="$work/other"
"$cairn" init >/dev/null
begin=$(now)
run dag import "$work/folder.car"
end=$(now)
printf 'imported: %s, every block hashed, durable\n' "$(speed "$begin" "$end")"
run repo verify
"$cairn" cat "$cid/big.bin" | cmp - "$work/folder/big.bin"

say "Read it over HTTP, believing nothing that can be checked"
if command -v curl >/dev/null; then
    export CAIRN_PATH="$work/repository"
    "$cairn" config Addresses.Gateway /ip4/127.0.0.1/tcp/0
    printf '$ cairn gateway &\n'
    "$cairn" gateway >"$work/gateway.log" 2>&1 &
    nodes="$nodes $!"
    tries=0
    until grep -q '^Gateway is ready' "$work/gateway.log"; do
        tries=$((tries + 1))
        [ "$tries" -le 100 ] || { cat "$work/gateway.log"; exit 1; }
        sleep 0.1
    done
    grep listening "$work/gateway.log"
    http=$(cat "$CAIRN_PATH/gateway")
    get() { curl -sS --noproxy '*' "$@"; }
    # The part of the answer's head that tells something, without line ends of HTTP.
    head_of() { get -o /dev/null -D - "$@" | tr -d '\r' | grep -iE '^(HTTP|location|content-range)' | sed 's/^/    /'; }
    printf '$ curl -i GATEWAY/ipfs/%s/docs\n' "$cid"
    head_of "$http/ipfs/$cid/docs"
    printf '$ curl GATEWAY/ipfs/%s/   # the page for a browser, as text\n' "$cid"
    get -H 'Accept: text/html' "$http/ipfs/$cid/" | grep '^<tr><th' | sed 's/<[^>]*>/ /g; s/  */ /g; s/^/   /'
    printf '$ curl -r 1000-1999 GATEWAY/ipfs/%s/big.bin\n' "$cid"
    head_of -r 1000-1999 "$http/ipfs/$cid/big.bin"
    get -r 1000-1999 "$http/ipfs/$cid/big.bin" >"$work/range"
    tail -c +1001 "$work/folder/big.bin" | head -c 1000 | cmp - "$work/range"
    printf '$ curl -i http://localhost:PORT/ipfs/%s/   # a host of its own for each site\n' "$cid"
    head_of "http://localhost:${http##*:}/ipfs/$cid/"
    export CAIRN_PATH="$work/verified"
    "$cairn" init >/dev/null
    printf '$ curl "GATEWAY/ipfs/%s?format=raw" | cairn block put --cid-codec=dag-pb\n' "$cid"
    get "$http/ipfs/$cid?format=raw" | "$cairn" block put --cid-codec=dag-pb | tee "$work/hashed"
    [ "$(cat "$work/hashed")" = "$cid" ]
    printf '$ curl "GATEWAY/ipfs/%s?format=car" | cairn dag import\n' "$cid"
    begin=$(now)
    get "$http/ipfs/$cid?format=car" | "$cairn" dag import
    end=$(now)
    "$cairn" cat "$cid/big.bin" | cmp - "$work/folder/big.bin"
    printf 'the same; %s, every block hashed, durable\n' "$(speed "$begin" "$end")"
    stop_nodes
else
    echo "left out: curl is not installed"
fi

say "Two nodes on this machine: one fetches from the other"
# Loopback only: no bootstrap peers, no multicast.
node() {
    export CAIRN_PATH="$work/$1"
    [ -e "$CAIRN_PATH/config" ] || "$cairn" init >/dev/null
    "$cairn" config --json Bootstrap '[]'
    "$cairn" config --json Discovery.MDNS.Enabled false
    "$cairn" config --json Swarm.DisableNatPortMap true
    "$cairn" config --json Addresses.Swarm '["/ip4/127.0.0.1/tcp/0"]'
    "$cairn" config Addresses.API /ip4/127.0.0.1/tcp/0
    "$cairn" config Routing.Type none
    "$cairn" daemon >"$work/$1.log" 2>&1 &
    nodes="$nodes $!"
    tries=0
    until grep -q '^Daemon is ready' "$work/$1.log"; do
        tries=$((tries + 1))
        [ "$tries" -le 100 ] || { cat "$work/$1.log"; exit 1; }
        sleep 0.1
    done
}
node other
address=$("$cairn" swarm addrs local --id | grep 127.0.0.1 | head -n 1)
node third
run swarm connect "$address"
begin=$(now)
"$cairn" get -o "$work/fetched" "$cid" >/dev/null
end=$(now)
diff -r "$work/folder" "$work/fetched"
printf 'fetched from the other node: the same; %s\n' "$(speed "$begin" "$end")"
run swarm peers
run bitswap stat

say "The network as a local folder"
cannot=
[ -c /dev/fuse ] || cannot="this machine has no /dev/fuse"
[ -n "$cannot" ] || [ "$(id -u)" -eq 0 ] || command -v fusermount3 >/dev/null 2>&1 ||
    cannot="fusermount3 is not installed (package fuse3)"
[ -n "$cannot" ] || { : <>/dev/fuse; } 2>/dev/null || cannot="/dev/fuse can't be opened here"
if [ -n "$cannot" ]; then
    echo "left out: $cannot"
else
    # The third node shows what it has not got; the other one is written to.
    for name in other third; do
        mkdir "$work/mount-$name"
        mounts="$mounts $work/mount-$name"
        printf '$ cairn mount mount-%s\n' "$name"
        CAIRN_PATH="$work/$name" "$cairn" mount "$work/mount-$name"
    done
    printf '$ cp -r folder mount-other/files/kept\n'
    begin=$(now)
    cp -r "$work/folder" "$work/mount-other/files/kept"
    sync -f "$work/mount-other/files/kept"
    end=$(now)
    printf 'written and synced: %s\n' "$(speed "$begin" "$end")"
    kept=$(CAIRN_PATH="$work/other" "$cairn" files stat --hash /kept)
    printf '$ ls -l mount-third/ipfs/%s\n' "$kept"
    ls -l "$work/mount-third/ipfs/$kept" | tail -n +2
    begin=$(now)
    diff -r "$work/folder" "$work/mount-third/ipfs/$kept"
    end=$(now)
    printf 'read through the mount of the third node, block by block from the other: the same; %s\n' \
        "$(speed "$begin" "$end")"
    unmount_all
fi
stop_nodes
export CAIRN_PATH="$work/other"

say "Let it go"
run pin rm "$cid"
printf '$ cairn repo gc -q | wc -l\n'
"$cairn" repo gc -q | wc -l
run repo stat -H
say "Done: everything was as it should be"
