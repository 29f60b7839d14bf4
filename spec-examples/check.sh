#!/bin/sh
# check.sh [NAME...]   runs the examples in a throw-away view of the machine and compares what they print with `expected`.
# What differs from run to run is written as a word first: inode numbers as [N].
set -eu
cd "$(dirname "$0")"
if [ -z "${RT_CONTAINED:-}" ]; then
    ./rootfs.sh
    runtime=${RUNTIME:-target/release/rt}
    case ${runtime##*/} in crun) view=v1 ;; *) view=host ;; esac
    sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
    exec $sudo env RUNTIME="$runtime" CGROUP_VIEW="${CGROUP_VIEW:-$view}" ../integration/contained.sh "$0" "$@"
fi

runtime=${RUNTIME:-target/release/rt}
case $runtime in /*) ;; */*) RUNTIME=$(cd .. && pwd)/$runtime ;; esac
export RUNTIME QUIET=1
[ $# -gt 0 ] || set -- $(for file in */expected; do echo "${file%/*}"; done)
passed=0 failed=0
for name in "$@"; do
    timeout 60 ./run.sh "$name" > /tmp/printed 2> /tmp/errors < /dev/null || echo "exit code $?" >> /tmp/printed
    sed -E 's/\[[0-9]+\]/[N]/g' /tmp/printed > /tmp/printed.words
    if diff -u "$name/expected" /tmp/printed.words; then
        passed=$((passed + 1)); echo "ok    $name"
    else
        failed=$((failed + 1)); echo "FAIL  $name"; cat /tmp/errors
    fi
done
echo "examples: $passed passed, $failed failed (${RUNTIME##*/})"
[ $failed = 0 ]
