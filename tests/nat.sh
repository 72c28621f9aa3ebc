#!/bin/sh
# Two nodes behind NATs of their own meet through a relay, and then talk directly. All of it happens in network
# namespaces that are made here and removed at the end; nothing reaches a real network. The addresses between the NATs
# are from a block that IANA keeps for a special purpose, and that nodes take for public.
#   sh tests/nat.sh path/to/cairn
# Also takes Kubo's `ipfs`, which checks this script. Skips, with a reason, where namespaces can't be made.
#
#   left (10.1.0.2) - leftnat (masquerade) - 192.31.196.2 -+
#                                                          +- net (a bridge) - 192.31.196.1 relay
#   right (10.2.0.2) - rightnat (masquerade) - 192.31.196.3 -+
set -eu

binary=$(realpath "$1")
run=cairn-nat-$$
work=
# In seconds.
patience=60

skip() {
    [ -z "${CAIRN_NO_SKIP:-}" ] || { echo "nat: $1" >&2; exit 1; }
    echo "nat: skipped: $1"
    exit 0
}

[ "$(id -u)" -eq 0 ] || skip "network namespaces need root"
for tool in ip nft bash; do
    command -v "$tool" >/dev/null || skip "$tool is not installed: apt-get install -y iproute2 nftables"
done
ip netns add "$run-net" 2>/dev/null || skip "this machine does not allow network namespaces"

clean() {
    for node in relay left right; do
        [ ! -e "$work/$node.pid" ] || kill "$(cat "$work/$node.pid")" 2>/dev/null || true
    done
    wait
    for space in net relay leftnat rightnat left right; do
        ip netns del "$run-$space" 2>/dev/null || true
    done
    [ -z "$work" ] || rm -rf "$work"
}
trap clean EXIT
trap 'exit 130' INT TERM
work=$(mktemp -d)

in_space() {
    space=$1
    shift
    ip netns exec "$run-$space" "$@"
}

# Lays a cable between two namespaces: cable SPACE INTERFACE SPACE INTERFACE
cable() {
    ip link add "$2" netns "$run-$1" type veth peer name "$4" netns "$run-$3"
    in_space "$1" ip link set dev "$2" up
    in_space "$3" ip link set dev "$4" up
}

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

in_space net ip link add bridge type bridge 2>/dev/null || skip "the kernel has no bridges"
in_space net ip link set bridge up
ip netns add "$run-relay"
in_space relay ip link set lo up
cable relay wan net relay
in_space net ip link set relay master bridge
in_space relay ip addr add 192.31.196.1/24 dev wan
make_home left 10.1.0 192.31.196.2 2>"$work/error" || skip "NAT can't be set up: $(cat "$work/error")"
make_home right 10.2.0 192.31.196.3

node() {
    name=$1
    shift
    in_space "$name" env CAIRN_PATH="$work/$name" IPFS_PATH="$work/$name" NO_COLOR=1 "$binary" "$@"
}

# until_is WHAT COMMAND…: waits until the command succeeds
until_is() {
    what=$1
    shift
    left=$patience
    until "$@" >/dev/null 2>&1; do
        left=$((left - 1))
        if [ "$left" -le 0 ]; then
            echo "nat: FAILED: not within $patience s: $what" >&2
            tail -n 20 "$work"/*.log >&2
            for n in left right; do
                echo "$n: $(node $n swarm peers) $(node $n swarm addrs local)" >&2
            done
            exit 1
        fi
        sleep 1
    done
    echo "ok    nat: $what"
}

ready() {
    grep -q '^Daemon is ready' "$work/$1.log"
}

start() {
    node "$1" daemon >"$work/$1.log" 2>&1 &
    echo $! >"$work/$1.pid"
    until_is "the daemon of $1 is ready" ready "$1"
}

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
