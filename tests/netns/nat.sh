#!/bin/sh
# Two nodes behind NATs of their own meet through a relay, and then talk directly. The addresses between the NATs are from
# a block that IANA keeps for a special purpose, and that nodes take for public.
#   sh tests/netns/nat.sh path/to/cairn
# Also takes Kubo's `ipfs`, which checks this script. Skips, with a reason, where namespaces can't be made.
#
#   left (10.1.0.2) - leftnat (masquerade) - 192.31.196.2 -+
#                                                          +- net (a bridge) - 192.31.196.1 relay
#   right (10.2.0.2) - rightnat (masquerade) - 192.31.196.3 -+
set -eu
PATH=$PATH:/usr/sbin:/sbin

test=nat
binary=$(realpath "$1")
. "$(dirname "$0")/lib.sh"

# A home: make_home NAME NETWORK PUBLIC
make_home() {
    ip netns add "$run-$1"
    ip netns add "$run-$1nat"
    in_space "$1" ip link set lo up
    in_space "$1nat" ip link set lo up
    cable "$1" wan "$1nat" lan
    cable "$1nat" wan net "$1"
    in_space net ip link set "$1" master bridge
    in_space "$1" ip addr add "$2.2/24" dev wan
    in_space "$1nat" ip addr add "$2.1/24" dev lan
    in_space "$1nat" ip addr add "$3/24" dev wan
    in_space "$1" ip route add default via "$2.1"
    in_space "$1nat" sysctl -q -w net.ipv4.ip_forward=1
    in_space "$1nat" nft -f - <<NFT
table ip home {
    chain leave { type nat hook postrouting priority 100; oifname "wan" masquerade; }
    chain pass {
        type filter hook forward priority 0; policy drop;
        iifname "lan" accept
        ct state established,related accept
    }
    # A home router does not say that a port is closed.
    chain enter { type filter hook input priority 0; policy drop; iifname != "wan" accept; ct state established,related accept; }
}
NFT
}

machine relay 192.31.196.1
make_home left 10.1.0 192.31.196.2 2>"$work/error" || skip "NAT can't be set up: $(cat "$work/error")"
make_home right 10.2.0 192.31.196.3

# prepare NAME ADDRESS
prepare() {
    node "$1" init --profile=test >/dev/null
    node "$1" config --json Addresses.Swarm "[\"/ip4/$2/tcp/4001\", \"/ip4/$2/udp/4001/quic-v1\"]"
    node "$1" config --json Addresses.API '"/ip4/127.0.0.1/tcp/5001"'
    node "$1" config --json Routing.Type '"none"'
}

prepare relay 192.31.196.1
node relay config --json Swarm.RelayService.Enabled true
node relay config --json Addresses.AppendAnnounce '["/ip4/192.31.196.1/tcp/4001"]'
node relay config --json Internal.Libp2pForceReachability '"public"'
start relay
relay=/ip4/192.31.196.1/tcp/4001/p2p/$(node relay config Identity.PeerID)

for home in left right; do
    prepare $home 0.0.0.0
    node $home config --json Swarm.RelayClient "{\"Enabled\": true, \"StaticRelays\": [\"$relay\"]}"
    node $home config --json Swarm.EnableHolePunching true
    node $home config --json Internal.Libp2pForceReachability '"private"'
    start $home
done

reserved() {
    node right swarm addrs local | grep -q /p2p-circuit
}
direct() {
    node left swarm peers | grep -v p2p-circuit | grep -q "^/ip4/192.31.196.3/.*/p2p/$right\$"
}
until_is "right holds a place at the relay" reserved
right=$(node right config Identity.PeerID)
# From the relay: an attempt of left's would leave a trace in its NAT.
if in_space relay timeout 3 bash -c 'exec 3<>/dev/tcp/192.31.196.3/4001' 2>/dev/null; then
    echo "nat: FAILED: right can be reached without help, so this is no test" >&2
    exit 1
fi
until_is "left connects through the relay" node left swarm connect --timeout=10s "$relay/p2p-circuit/p2p/$right"
until_is "they talk directly" direct
# Kubo's Bitswap does not notice that a relayed connection became a direct one.
if [ "$(basename "$binary")" != ipfs ]; then
    head -c 1000000 /dev/urandom >"$work/file"
    cid=$(node right add -Q "$work/file")
    got() {
        node left cat --timeout=10s "$cid" >"$work/copy"
    }
    until_is "a file passes" got
    cmp -s "$work/file" "$work/copy" || { echo "nat: FAILED: the file differs" >&2; exit 1; }
fi
echo "nat: two nodes behind NATs talk directly"
