#!/bin/sh
# all.sh [MANAGER...]   every manager over the runtime, each in a machine of its own; one sum at the end.
#   RUNTIME=crun|runc   over another runtime
set -u
here=$(cd "$(dirname "$0")" && pwd)
[ $# -gt 0 ] || set -- podman docker containerd containerd-1.7 containerd-2 buildah buildkit swarm
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
began=$(date +%s)

# Two at a time: much of it is waiting.
running=
for manager in "$@"; do
    (timeout -k 10 600 "$here/$manager.sh" > "$results/$manager" 2>&1 < /dev/null; echo $? > "$results/$manager.code") &
    running="$running $!"
    set -- $running
    [ $# -lt 2 ] || { wait "$1"; shift; running=$*; }
done
wait

passed=0 failed=0 skipped=0
for output in "$results"/*.code; do
    output=${output%.code}
    cat "$output"
    line=$(grep -E "^${output##*/}: [0-9]+ passed, [0-9]+ failed" "$output" | tail -n 1)
    [ -n "$line" ] || { failed=$((failed + 1)); echo "FAIL  ${output##*/}: it did not end (exit code $(cat "$output.code"))"; continue; }
    passed=$((passed + $(echo "$line" | sed 's/.*: \([0-9]*\) passed.*/\1/')))
    failed=$((failed + $(echo "$line" | sed 's/.* \([0-9]*\) failed.*/\1/')))
    case $line in *skipped*) skipped=$((skipped + $(echo "$line" | sed 's/.* \([0-9]*\) skipped.*/\1/'))) ;; esac
done
echo
echo "managers: $passed passed, $failed failed, $skipped skipped, in $(($(date +%s) - began)) s"
[ $failed = 0 ]
