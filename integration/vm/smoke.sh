#!/bin/sh
# smoke.sh RT: a container's life on cgroup v2, as root and as a user, told in the words of a shell.
# Runs in the guest, as part of suite.sh's mode v2.
set -u

passed=0 failed=0
# is NAME EXPECTED ACTUAL
is() {
    if [ "$2" = "$3" ]; then passed=$((passed + 1)); else
        failed=$((failed + 1)); printf 'FAIL %s: expected "%s", got "%s"\n' "$1" "$2" "$3"; fi
}
# bundle JQ-FILTER ARG...: a bundle in $B
bundle() {
    filter=$1; shift
    mkdir -p "$B" && rm -f "$B/config.json" && (cd "$B" && $RT spec $SPEC_FLAGS) || exit 1
    jq ".process.args = \$ARGS.positional | .process.terminal = false | .root = {path: \"$ROOTFS\"} | $filter" \
        "$B/config.json" --args -- "$@" >"$B/new" && mv "$B/new" "$B/config.json"
}
field() { $RT state "$1" | jq -r ".$2"; }
gone() { is "$1 has left no cgroup" no "$(test -e "$CG/rt/$1" && echo yes || echo no)"; }
# settle FILE LINES: waits until a file has that many lines
settle() { i=0; while [ "$(cat "$1" 2>/dev/null | wc -l)" != "$2" ] && [ $i -lt 100 ]; do sleep 0.05; i=$((i + 1)); done; cat "$1" | wc -l; }
many() {
    i=0; while [ $i -lt 50 ]; do $RT run -b "$B" "s$i" >/dev/null; is "run $i" 0 $?; i=$((i + 1)); done
    pids=; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do $RT run -b "$B" "p$i" >/dev/null & pids="$pids $!"; done
    for pid in $pids; do wait "$pid"; is "parallel run" 0 $?; done
}
end() { echo "smoke, $1: $passed passed, $failed failed"; [ $failed = 0 ]; exit; }

CG=/sys/fs/cgroup RT=/usr/local/bin/rt ROOTFS=/tmp/rootfs
if [ "$1" = --rootless ]; then
    B=/tmp/user/bundle SPEC_FLAGS=--rootless
    bundle . sh -c 'id -u; cat /proc/self/uid_map'
    is "a rootless container" "0 0 1000 1" "$($RT run -b $B hello | xargs)"
    many
    bundle . sleep 100
    $RT create -b $B c && $RT start c
    is "rootless state" running "$(field c status)"
    is "rootless exec" 0 "$($RT exec c id -u)"
    $RT exec c sh -c 'exit 7'; is "its exit status" 7 $?
    $RT kill c KILL; while [ "$(field c status)" != stopped ]; do sleep 0.05; done
    $RT delete c; is "rootless delete" 0 $?
    is "nothing is left" "" "$(ls "$XDG_RUNTIME_DIR/rt")"
    end rootless
fi

cp "$1" $RT
mkdir -p $ROOTFS/bin $ROOTFS/proc $ROOTFS/sys $ROOTFS/dev $ROOTFS/tmp
cp "$(command -v busybox)" $ROOTFS/bin/ && for applet in $(busybox --list); do ln -f $ROOTFS/bin/busybox "$ROOTFS/bin/$applet"; done 2>/dev/null
B=/tmp/bundle SPEC_FLAGS=

bundle . true; many
bundle '.linux.resources = {memory: {limit: 33554432, swap: 50331648, reservation: 16777216},
    cpu: {shares: 2048, quota: 50000, period: 200000}, pids: {limit: 17},
    blockIO: {throttleReadBpsDevice: [{major: 98, minor: 0, rate: 1048576}]}, unified: {"memory.high": "25165824"}}' sleep 100
$RT create -b $B c
is "the state after create" created "$(field c status)"
is "its cgroup" 0::/rt/c "$(cat /proc/"$(field c pid)"/cgroup)"
$RT start c
is "the state after start" running "$(field c status)"
for limit in memory.max=33554432 memory.swap.max=16777216 memory.low=16777216 memory.high=25165824 "cpu.max=50000 200000" \
    cpu.weight=174 pids.max=17 "io.max=98:0 rbps=1048576 wbps=max riops=max wiops=max"; do
    is "${limit%%=*}" "${limit#*=}" "$(cat "$CG/rt/c/${limit%%=*}")"
done
is "exec sees the cgroup as the root" 0::/ "$($RT exec c cat /proc/self/cgroup)"
$RT pause c; is "the state after pause" paused "$(field c status)"
$RT exec c true 2>/dev/null; is "exec into a paused container" 255 $?
$RT delete --force c; is "delete of a paused container" 0 $?; gone c

bundle '.linux.resources.memory = {limit: 16777216, swap: 16777216}' \
    sh -c 'exec sh -c "x=\$(head -c 30m /dev/zero | tr \"\\0\" x)"'
$RT run -b $B oom 2>/dev/null; is "an OOM kill" 137 $?; gone oom

bundle '.process.capabilities |= map_values(. + ["CAP_MKNOD"]) | .linux.resources.devices =
    [{allow: false, access: "rwm"}, {allow: true, type: "b", major: 98, minor: 0, access: "r"}]' \
    sh -c 'mknod /tmp/u b 98 0; mknod /tmp/k c 1 11; for f in "< /tmp/u" "> /tmp/u" "< /tmp/k" "< /dev/null"; do
        eval "(: $f) 2>/dev/null" && echo yes || echo no; done; rm -f /tmp/u /tmp/k'
is "device rules: read, write, another, a default one" "yes no no yes" "$($RT run -b $B d | xargs)"

# A container with a manager of its own: its init leaves the cgroup, which takes no process any more.
writable='.mounts |= map(select(.destination != "/sys/fs/cgroup")) + [{destination: "/sys/fs/cgroup", type: "cgroup",
    source: "cgroup", options: ["nosuid", "noexec", "nodev"]}]'
bundle "$writable" sh -c 'cd /sys/fs/cgroup; mkdir -p in/deeper; echo 0 >in/cgroup.procs; echo +pids >cgroup.subtree_control; exec sleep 100'
$RT run -d -b $B inner
settle $CG/rt/inner/in/cgroup.procs 1 >/dev/null; sleep 0.2
is "exec goes where init is" 0::/in "$($RT exec inner cat /proc/self/cgroup)"
$RT delete --force inner; is "delete of nested cgroups" 0 $?; gone inner

bundle '.linux.namespaces |= map(select(.type != "pid"))' sh -c 'sleep 1000 & setsid sleep 1001 & exec sleep 1002'
$RT run -d -b $B shared
is "three processes" 3 "$(settle $CG/rt/shared/cgroup.procs 3)"
$RT kill shared KILL; settle $CG/rt/shared/cgroup.procs 2 >/dev/null
$RT delete shared; is "delete kills the rest" 0 $?; gone shared

user='.linux.namespaces += [{type: "user"}] | .linux |= . + {uidMappings: [{containerID: 0, hostID: 100000, size: 65536}],
    gidMappings: [{containerID: 0, hostID: 100000, size: 65536}]}'
chown -R 100000:100000 $ROOTFS
bundle "$user | $writable" sh -c 'mkdir /sys/fs/cgroup/mine && exec sleep 100'
$RT run -d -b $B user; pid=$(field user pid); sleep 0.3
is "a cgroup of the container's user" yes "$(test -d $CG/rt/user/mine && echo yes)"
for i in 1 2 3 4 5; do
    bundle ".linux.namespaces |= (map(if .type == \"pid\" or .type == \"cgroup\" then .path = \"/proc/$pid/ns/\" + .type else . end)
        + [{type: \"user\", path: \"/proc/$pid/ns/user\"}])" sh -c 'id -u; cat /proc/self/cgroup'
    is "namespaces of another container" "0 0::/../joined" "$($RT run -b $B joined | xargs)"
done
$RT delete --force user; gone user
bundle "$user"' | .linux.namespaces += [{type: "time"}] | .linux.timeOffsets = {boottime: {secs: 2000000}}' cut -c1-4 /proc/uptime
is "clocks in a new user namespace" 2000 "$($RT run -b $B clocks)"
chown -R 0:0 $ROOTFS

is "nothing is left" "" "$(ls /run/rt)$(ls -d $CG/rt/*/ 2>/dev/null)$(pgrep -x rt)"
mkdir -p /tmp/user /run/user/1000 && chown 1000:1000 /tmp/user /run/user/1000
runuser -u tester -- env XDG_RUNTIME_DIR=/run/user/1000 sh "$0" --rootless || failed=$((failed + 1))
end root
