#!/bin/sh
# Nodes on one local network, with no bootstrap peers and no way to the internet, find each other by multicast DNS, and one
# gets from another what only the LAN's DHT or Bitswap can tell it of. A node that is told not to look is not found.
#   sh tests/netns/lan.sh path/to/cairn
# Also takes Kubo's `ipfs`, which checks this script. Skips, with a reason, where namespaces can't be made.
set -eu
PATH=$PATH:/usr/sbin:/sbin

test=lan
binary=$(realpath "$1")
. "$(dirname "$0")/lib.sh"

# prepare NAME ADDRESS MDNS
prepare() {
    machine "$1" "$2"
    in_space "$1" ip route add 224.0.0.0/4 dev wan
    node "$1" init --profile=test >/dev/null
    node "$1" config --json Addresses.Swarm "[\"/ip4/$2/tcp/4001\", \"/ip4/$2/udp/4001/quic-v1\"]"
    node "$1" config --json Addresses.API '"/ip4/127.0.0.1/tcp/5001"'
    node "$1" config --json Bootstrap '[]'
    node "$1" config --json Discovery.MDNS.Enabled "$3"
}

prepare one 10.3.0.1 true
prepare two 10.3.0.2 true
prepare quiet 10.3.0.3 false
for name in one two quiet; do
    start $name
done

lists() {
    node "$1" swarm peers | grep -q "/p2p/$2\$"
}
one=$(node one config Identity.PeerID)
two=$(node two config Identity.PeerID)
# Kubo asks round every ten seconds.
[ "$(basename "$binary")" = ipfs ] || patience=5
until_is "one finds two" lists one "$two"
until_is "two finds one" lists two "$one"
patience=60
head -c 1000000 /dev/urandom >"$work/file"
cid=$(node one add -Q "$work/file")
got() {
    node two cat --timeout=10s "$cid" >"$work/copy"
}
until_is "a file passes" got
cmp -s "$work/file" "$work/copy" || { echo "lan: FAILED: the file differs" >&2; exit 1; }
if [ -n "$(node quiet swarm peers)" ]; then
    echo "lan: FAILED: a node that is told not to look for others was found" >&2
    exit 1
fi
echo "lan: nodes without an internet find each other"
