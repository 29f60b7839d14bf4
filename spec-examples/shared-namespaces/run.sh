#!/bin/sh
# A pod: the first container makes the namespaces, the second joins them by path.
set -eu
cd "$(dirname "$0")"
place=/run/rt-example/pod

clean() {
    "$RT" delete --force pod-first 2>/dev/null || true
    for name in pid net ipc uts; do umount "$place/$name" 2>/dev/null || true; done
    rm -rf "$place"
}
trap clean EXIT
clean

mkdir -p "$place"
"$RT" run --detach --pid-file "$place/first.pid" --bundle first pod-first > /tmp/first.out 2>&1 < /dev/null
pid=$(cat "$place/first.pid")
for name in pid net ipc uts; do
    touch "$place/$name"
    mount --bind "/proc/$pid/ns/$name" "$place/$name"
done
sleep 0.2
cat /tmp/first.out
"$RT" run --bundle second pod-second
