#!/bin/sh
# The main job, on a real folder, in a repository of its own that is removed at the end.
set -eu
cairn=${1:?usage: demo.sh PROGRAM}
sources=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/cairn-demo.XXXXXX")
trap 'rm -rf "$work"' EXIT
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

say "Let it go"
run pin rm "$cid"
printf '$ cairn repo gc -q | wc -l\n'
"$cairn" repo gc -q | wc -l
run repo stat -H
say "Done: everything was as it should be"
