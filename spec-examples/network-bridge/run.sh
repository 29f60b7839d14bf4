#!/bin/sh
# Two network namespaces on one bridge, a container in each. All of it is gone at the end.
set -eu
cd "$(dirname "$0")"
bridge=rt-bridge0

clean() {
    "$RT" delete --force network-left 2>/dev/null || true
    for side in left right; do ip netns delete rt-$side 2>/dev/null || true; done
    ip link delete $bridge 2>/dev/null || true
}
trap clean EXIT
clean

ip link add $bridge type bridge
ip link set $bridge up
number=2
for side in left right; do
    ip netns add rt-$side
    ip link add rt-$side type veth peer name eth0 netns rt-$side   # one end in the namespace ...
    ip link set rt-$side master $bridge up                         # ... the other on the bridge
    ip -n rt-$side address add 10.77.0.$number/24 dev eth0
    ip -n rt-$side link set eth0 up
    ip -n rt-$side link set lo up
    number=$((number + 1))
done

"$RT" run --detach --bundle left network-left > /tmp/left.out 2>&1 < /dev/null
"$RT" run --bundle right network-right
cat /tmp/left.out
