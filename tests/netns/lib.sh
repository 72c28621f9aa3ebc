# What the tests in network namespaces share: sourced by them, after `test` (their name) and `binary` were set. All of it
# happens in namespaces that are made here and removed at the end; nothing reaches a real network.

run=cairn-$test-$$
work=
# In seconds.
patience=60

skip() {
    [ -z "${CAIRN_NO_SKIP:-}" ] || { echo "$test: $1" >&2; exit 1; }
    echo "$test: skipped: $1"
    exit 0
}

[ "$(id -u)" -eq 0 ] || skip "network namespaces need root"
for tool in ip nft bash; do
    command -v "$tool" >/dev/null || skip "$tool is not installed: apt-get install -y iproute2 nftables"
done
ip netns add "$run-net" 2>/dev/null || skip "this machine does not allow network namespaces"

clean() {
    spaces=$(ip netns list | cut -d' ' -f1 | grep "^$run-" || true)
    # By where they run: what the shell knows is only who started them.
    for space in $spaces; do
        ip netns pids "$space" | xargs -r kill 2>/dev/null || true
    done
    wait
    for space in $spaces; do
        ip netns del "$space" 2>/dev/null || true
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

in_space net ip link add bridge type bridge 2>/dev/null || skip "the kernel has no bridges"
in_space net ip link set bridge up

# A machine on the bridge: machine NAME ADDRESS
machine() {
    ip netns add "$run-$1"
    in_space "$1" ip link set lo up
    cable "$1" wan net "$1"
    in_space net ip link set "$1" master bridge
    in_space "$1" ip addr add "$2/24" dev wan
}

# A command of a node on the machine of that name.
node() {
    name=$1
    shift
    in_space "$name" env CAIRN_PATH="$work/$name" IPFS_PATH="$work/$name" NO_COLOR=1 "$binary" "$@"
}

# until_is WHAT COMMAND…: waits until the command succeeds
until_is() {
    what=$1
    shift
    left=$((patience * 5))
    until "$@" >/dev/null 2>&1; do
        left=$((left - 1))
        if [ "$left" -le 0 ]; then
            echo "$test: FAILED: not within $patience s: $what" >&2
            tail -n 20 "$work"/*.log >&2
            for pid in "$work"/*.pid; do
                n=$(basename "$pid" .pid)
                echo "$n: $(node "$n" swarm peers) $(node "$n" swarm addrs local)" >&2
            done
            exit 1
        fi
        sleep 0.2
    done
    echo "ok    $test: $what"
}

ready() {
    grep -q '^Daemon is ready' "$work/$1.log"
}

start() {
    node "$1" daemon >"$work/$1.log" 2>&1 &
    echo $! >"$work/$1.pid"
    until_is "the daemon of $1 is ready" ready "$1"
}
