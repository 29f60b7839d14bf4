#!/bin/sh
# systemd.sh RT   the systemd driver, in a guest whose pid 1 is systemd; then again as a user with a systemd of their own.
. "$(dirname "$0")/chapter.sh"

# limits DIRECTORY: everything that a reload could have changed, device programs included
limits() {
    for file in memory.max memory.swap.max memory.low memory.high cpu.max cpu.weight pids.max io.max; do
        echo "$file=$(cat "$1/$file" 2>/dev/null)"
    done
    [ "$(id -u)" != 0 ] || bpftool cgroup show "$1" 2>/dev/null
}
programs() { if command -v bpftool >/dev/null; then bpftool cgroup show "$1" 2>/dev/null | grep -c rt_devices; else echo "skipped: no bpftool"; fi; }
show() { systemctl $MANAGER show -P "$2" "$1"; }
gone() { is "$1 is gone" "not-found no" "$(show "$1" LoadState) $(test -e "$2" && echo yes || echo no)"; }

life() {
    bundle '.linux.resources = {memory: {limit: 33554432, reservation: 16777216}, pids: {limit: 17},
        unified: {"memory.high": "25165824"}}' sleep 1000
    if [ "$(id -u)" = 0 ]; then
        jq '.linux.resources += {cpu: {shares: 2048, quota: 50000, period: 200000},
            blockIO: {throttleReadBpsDevice: [{major: 98, minor: 0, rate: 1048576}]},
            devices: [{allow: false, access: "rwm"}, {allow: true, type: "b", major: 98, minor: 0, access: "r"}]}
            | .linux.resources.memory.swap = 50331648' $B/config.json >$B/new && mv $B/new $B/config.json
    fi
    $RT --systemd-cgroup create -b $B c; is "create" 0 $?
    D=$BASE/rt-c.scope
    is "the state after create" created "$(field c status)"
    is "its cgroup" "0::${D#"$CG"}" "$(cat /proc/"$(field c pid)"/cgroup)"
    $RT start c; is "start" 0 $?
    is "exec sees the cgroup as the root" 0::/ "$($RT exec c cat /proc/self/cgroup)"
    is "the cgroup is mounted" "$(cat $D/cgroup.controllers)" "$($RT exec c cat /sys/fs/cgroup/cgroup.controllers)"
    for limit in memory.max=33554432 memory.low=16777216 memory.high=25165824 pids.max=17; do
        is "${limit%%=*}" "${limit#*=}" "$(cat "$D/${limit%%=*}")"
    done
    is "properties" "33554432 16777216 25165824 17 yes" "$(echo $(for p in MemoryMax MemoryLow MemoryHigh TasksMax Delegate; do show rt-c.scope $p; done))"
    if [ "$(id -u)" = 0 ]; then
        for limit in memory.swap.max=16777216 "cpu.max=50000 200000" cpu.weight=174 "io.max=98:0 rbps=1048576 wbps=max riops=max wiops=max"; do
            is "${limit%%=*}" "${limit#*=}" "$(cat "$D/${limit%%=*}")"
        done
        is "more properties" "16777216 250ms 200ms 174" "$(echo $(for p in MemorySwapMax CPUQuotaPerSecUSec CPUQuotaPeriodUSec CPUWeight; do show rt-c.scope $p; done))"
        is "a device program" 1 "$(programs $D)"
    fi
    before=$(limits $D)
    systemctl $MANAGER daemon-reload; is "limits after daemon-reload" "$before" "$(limits $D)"
    systemctl $MANAGER daemon-reexec; sleep 1; is "limits after daemon-reexec" "$before" "$(limits $D)"
    is "it runs on" running "$(field c status)"
    $RT pause c; is "paused" paused "$(field c status)"; $RT resume c; is "resumed" running "$(field c status)"

    $RT update --memory 48m --pids-limit 23 c; is "update" 0 $?
    is "the new limits" "50331648 23" "$(cat $D/memory.max $D/pids.max | xargs)"
    is "the new properties" "50331648 23" "$(echo $(show rt-c.scope MemoryMax) $(show rt-c.scope TasksMax))"
    systemctl $MANAGER daemon-reload; is "the new limits after daemon-reload" "50331648 23" "$(cat $D/memory.max $D/pids.max | xargs)"
    echo '{"unified": {"memory.high": "1048576", "memory.nonsense": "1"}}' | $RT update --resources - c 2>/dev/null; is "an update that is refused" 1 $?
    is "changes nothing" "25165824 25165824" "$(cat $D/memory.high) $(show rt-c.scope MemoryHigh)"
    if [ "$(id -u)" = 0 ]; then
        $RT update --cpu-quota 12345 c; is "a fraction of a percent" "12345 200000 70ms" "$(cat $D/cpu.max) $(show rt-c.scope CPUQuotaPerSecUSec)"
        $RT update --cpu-quota 30000 --cpu-period 100000 --cpu-share 512 --memory-reservation 8m c; is "more of it" 0 $?
        echo '{"blockIO": {"throttleReadBpsDevice": [{"major": 98, "minor": 0, "rate": 2097152}]}}' | $RT update -r - c
        systemctl daemon-reload
        is "stays" "30000 100000|59|8388608|98:0 rbps=2097152 wbps=max riops=max wiops=max" "$(cat $D/cpu.max $D/cpu.weight $D/memory.low $D/io.max | tr '\n' '|' | sed 's/|$//')"
        echo '{"devices": [{"allow": false, "access": "rwm"}]}' | $RT update -r - c; systemctl daemon-reload
        is "one device program" 1 "$(programs $D)"
    fi

    # systemd writes all that it knows of with each property, and would take back what it does not know.
    bundle '.linux.resources = {pids: {limit: 20}, unified: {"memory.high": "20M", "memory.oom.group": "1", "memory.swap.max": "5M"}}' sleep 1000
    $RT --systemd-cgroup run -d -b $B units; U=$BASE/rt-units.scope
    for change in "--pids-limit 21" "--memory 40m --memory-swap 45m" "--memory-reservation 1m"; do
        $RT update $change units; is "update $change" 0 $?
        is "what it did not change" "20971520 1 5242880" "$(cat $U/memory.high $U/memory.oom.group $U/memory.swap.max | xargs)"
    done
    systemctl $MANAGER set-property --runtime rt-units.scope TasksMax=22
    is "what systemctl did not change" "20971520 1 41943040 22" "$(cat $U/memory.high $U/memory.oom.group $U/memory.max $U/pids.max | xargs)"
    is "systemd knows them" "20971520 kill 5242880" "$(echo $(for p in MemoryHigh OOMPolicy MemorySwapMax; do show rt-units.scope $p; done))"
    $RT delete --force units

    has "a name that is taken" "start rt-c.scope in ${SLICE}: Unit rt-c.scope was already loaded" \
        "$(jq ".linux.cgroupsPath = \"$SLICE:rt:c\"" $B/config.json >$B/taken.json; $RT --systemd-cgroup create -f $B/taken.json -b $B other 2>&1)"
    is "its owner lives" running "$(field c status)"
    is "the other has left nothing" "" "$($RT list -q | grep other)"
    $RT kill c KILL; until_ '[ "$(field c status)" = stopped ]'
    $RT delete c; is "delete" 0 $?; gone rt-c.scope $D

    $RT --systemd-cgroup run -d -b $B c && $RT delete --force c; is "delete --force" 0 $?; gone rt-c.scope $D
    bundle . true
    i=0; while [ $i -lt 20 ]; do $RT --cgroup-manager systemd run -b $B again; is "run $i under the same name" 0 $?; i=$((i + 1)); done
    bundle . nosuchprogram
    has "a program that is not there" "not found" "$($RT --systemd-cgroup run -b $B bad 2>&1)"; gone rt-bad.scope $BASE/rt-bad.scope
    bundle '.linux.namespaces |= map(select(.type != "pid"))' sh -c 'sleep 1000 & setsid sleep 1001 & exec sleep 1002'
    $RT --systemd-cgroup run -d -b $B shared; until_ "[ \$(wc -l <$BASE/rt-shared.scope/cgroup.procs) = 3 ]"
    $RT kill shared KILL; until_ '[ "$(field shared status)" = stopped ]'
    $RT delete shared; is "delete kills what is left" 0 $?; gone rt-shared.scope $BASE/rt-shared.scope
    bundle '.linux.resources.unified = {"nonsense.max": "1"}' true
    has "a limit that nobody knows" /linux/resources/unified/nonsense.max "$($RT --systemd-cgroup run -b $B bad 2>&1)"
    bundle '.linux.resources.unified = {"memory.nonsense": "1"}' true
    has "a limit that the kernel does not know" memory.nonsense "$($RT --systemd-cgroup run -b $B bad 2>&1)"; gone rt-bad.scope $BASE/rt-bad.scope
    bundle '.linux.cgroupsPath = "/rt/c"' true
    has "a path of the other driver" "/linux/cgroupsPath" "$($RT --systemd-cgroup run -b $B bad 2>&1)"

    bundle '.annotations = {"org.systemd.property.TimeoutStopSec": "7", "org.systemd.property.Description": "\"a box\""}' sleep 1000
    $RT --systemd-cgroup run -d -b $B note; is "annotations" "7s a box" "$(show rt-note.scope TimeoutStopUSec) $(show rt-note.scope Description)"
    $RT delete --force note
    bundle '.annotations = {"org.systemd.property.Nonsense": "true"}' true
    has "a value of another type" "start rt-bad.scope in $SLICE: Failed to set unit properties" \
        "$(jq '.annotations = {"org.systemd.property.After": "\u0027a.service\u0027"}' $B/config.json >$B/after.json; $RT --systemd-cgroup run -f $B/after.json -b $B bad 2>&1)"
    has "a property that systemd does not know" "start rt-bad.scope in $SLICE: Cannot set property Nonsense" "$($RT --systemd-cgroup run -b $B bad 2>&1)"
    bundle '.annotations = {"run.oci.systemd.subgroup": "box", "run.oci.delegate-cgroup": "payload"}' sleep 1000
    $RT --systemd-cgroup run -d -b $B sub; is "a container below its scope" 0 $?
    is "where it is" "0::${BASE#"$CG"}/rt-sub.scope/box/payload" "$(cat /proc/"$(field sub pid)"/cgroup)"
    is "how it sees itself" 0::/payload "$($RT exec sub cat /proc/1/cgroup)"
    $RT update --pids-limit 9 sub; is "update of what is below" "0 9" "$? $(cat $BASE/rt-sub.scope/pids.max)"
    $RT delete --force sub; is "delete of what is below" 0 $?; gone rt-sub.scope $BASE/rt-sub.scope
}

# stopped NAME COMMAND: a container whose scope somebody has stopped
stopped() {
    bundle '.annotations = {"org.systemd.property.TimeoutStopSec": "1"}' sleep 1000
    $RT --systemd-cgroup run -d -b $B ended; systemctl $MANAGER stop rt-ended.scope
    is "$1: the state" stopped "$(field ended status)"
    has "$1: kill" "container not running" "$($RT kill ended TERM 2>&1)"
    has "$1: pause" "container not running" "$($RT pause ended 2>&1)"
    has "$1: update" "container not running" "$($RT update --pids-limit 9 ended 2>&1)"
    $2; is "$1" 0 $?
    gone rt-ended.scope $BASE/rt-ended.scope; is "$1: nothing is left" "" "$($RT list -q)"
}
each_way_to_end() {
    stopped "delete after systemctl stop" "$RT delete ended"
    stopped "delete --force after systemctl stop" "$RT delete --force ended"
}

install_rt "$1"
if [ "$(id -u)" != 0 ]; then
    MANAGER=--user SLICE=user.slice BASE=$CG/user.slice/user-1000.slice/user@1000.service/user.slice B=/tmp/user-bundle SPEC_FLAGS=--rootless
    life
    each_way_to_end
    # Where the bus is: named, or in the user's runtime directory, or in that which logind makes.
    bundle . true
    bare() { env -u XDG_RUNTIME_DIR -u DBUS_SESSION_BUS_ADDRESS "$@" $RT --root /tmp/elsewhere --systemd-cgroup run -b $B bus 2>&1; }
    is "XDG_RUNTIME_DIR alone" "" "$(bare XDG_RUNTIME_DIR=/run/user/1000)"
    is "DBUS_SESSION_BUS_ADDRESS alone" "" "$(bare DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus)"
    is "neither" "" "$(bare)"
    has "a bus that is not there" "start rt-bus.scope in user.slice: the user's systemd is not reached: connect to /nonexistent/bus" "$(bare XDG_RUNTIME_DIR=/nonexistent)"
    has "no address" '"nonsense" is not the address of a D-Bus socket' "$(bare DBUS_SESSION_BUS_ADDRESS=nonsense)"
    is "nothing is left" "" "$($RT list -q)"
    end "systemd as a user"
fi

rootfs
MANAGER= SLICE=system.slice BASE=$CG/system.slice
life
each_way_to_end

bundle '.linux.cgroupsPath = "rta-rtb.slice:pre:x+y"' sleep 1000
$RT --systemd-cgroup run -d -b $B nested; is "nested slices" 0 $?
is "where they are" "0::/rta.slice/rta-rtb.slice/pre-x\\x2by.scope" "$(cat /proc/"$(field nested pid)"/cgroup)"
$RT delete --force nested
bundle '.linux.cgroupsPath = "::rta-rtc.slice"' sleep 1000
$RT --systemd-cgroup run -d -b $B slice; is "a slice as the container" 0 $?
is "where it is" "0::/rta.slice/rta-rtc.slice" "$(cat /proc/"$(field slice pid)"/cgroup)"
$RT delete --force slice; is "delete of a slice" 0 $?
# What others live in is not ours: it would be stopped with them.
systemd-run --quiet --slice=rta-rtd.slice --unit=neighbour sleep 1000
for slice in rta-rtd.slice rta.slice; do
    bundle ".linux.cgroupsPath = \"::$slice\"" true
    has "$slice, which others use" "start $slice in " "$($RT --systemd-cgroup run -b $B slice 2>&1)"
    is "the others live" active "$(systemctl is-active neighbour)"
done
systemctl stop neighbour
for unit in ::-.slice ::system.slice -.slice::init; do
    bundle ".linux.cgroupsPath = \"$unit\"" true
    has "$unit" "is systemd's own" "$($RT --systemd-cgroup run -b $B slice 2>&1)"
done
bundle '.linux.cgroupsPath = "rta.slice:a@b:c@d"' true
$RT --systemd-cgroup run -b $B at; is "an @ in the name" 0 $?
bundle '.linux.namespaces |= . + [{type: "user"}] | .linux += {uidMappings: [{containerID: 0, hostID: 100000, size: 65536}],
    gidMappings: [{containerID: 0, hostID: 100000, size: 65536}]} | .mounts |= map(select(.destination != "/sys/fs/cgroup"))
    + [{destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["nosuid", "noexec", "nodev"]}]' \
    sh -c 'mkdir /sys/fs/cgroup/mine && echo 0 >/sys/fs/cgroup/mine/cgroup.procs && echo +pids >/sys/fs/cgroup/cgroup.subtree_control && exec sleep 1000'
chown -R 100000:100000 $ROOTFS
$RT --systemd-cgroup run -d -b $B user; until_ "grep -qs . $BASE/rt-user.scope/mine/cgroup.procs"; is "a cgroup of the container's user" 0 $?
is "its files" "100000 100000 0" "$(stat -c %u $BASE/rt-user.scope $BASE/rt-user.scope/cgroup.procs $BASE/rt-user.scope/memory.max | xargs)"
systemctl daemon-reload
is "exec goes where init is" 0::/mine "$($RT exec user cat /proc/self/cgroup)"
$RT delete --force user; is "delete of it" 0 $?
chown -R 0:0 $ROOTFS

# A bind of the container's cgroup shows what a mount of cgroup2 in its namespace would, and forbids what that would.
bundle '.process.capabilities |= map_values(. + ["CAP_SYS_ADMIN"]) | .mounts |= map(select(.destination != "/sys/fs/cgroup"))
    + [{destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["nosuid", "noexec", "nodev"]}]' sh -c '
    mkdir -p /tmp/other && mount -t cgroup2 -o nosuid,noexec,nodev cgroup2 /tmp/other || exit 1
    look() { cd "$1"; grep " $1 " /proc/self/mountinfo | sed "s/ - /\n/" | cut -d" " -f4,6 | sed "s/ .*relatime.*/ same/" | tail -n 1
        grep " $1 " /proc/self/mountinfo | cut -d" " -f4; mkdir in && ls -R | sort; read -r first <cgroup.procs; echo $first
        echo 1000000 2>&1 >memory.max; echo 0 2>&1 >in/cgroup.procs; cat /proc/self/cgroup; echo 0 >cgroup.procs; rmdir in; stat -c "%i %u %a" .; }
    look /sys/fs/cgroup >/tmp/one 2>&1; look /tmp/other >/tmp/two 2>&1; sed -i s,/tmp/other,/sys/fs/cgroup, /tmp/two
    umount /tmp/other; cat /tmp/one; diff /tmp/one /tmp/two && echo the same'
for driver in cgroupfs systemd; do
    seen=$($RT --cgroup-manager $driver run -b $B mounts 2>&1)
    has "$driver: a bind and a mount of cgroup2" "the same" "$seen"
    has "$driver: both forbid to raise the limit" "peration not permitted" "$seen"
    has "$driver: both let processes move below" "0::/in" "$seen"
done

# Without systemd's own socket it is the bus.
bundle . true
unshare -m sh -c "mount -t tmpfs none /run/systemd && exec $RT --systemd-cgroup run -b $B bus"; is "over the system bus" 0 $?
has "without either" "systemd is not reached: connect to /run/systemd/private: no such file or directory" \
    "$(unshare -m sh -c "mount -t tmpfs none /run/systemd && mount -t tmpfs none /run/dbus && exec $RT --systemd-cgroup run -b $B bus" 2>&1)"
# A name can be taken by somebody else once the container has ended.
bundle '.linux.cgroupsPath = "system.slice:rt:reused"' true
$RT --systemd-cgroup run --keep -b $B first
bundle '.linux.cgroupsPath = "system.slice:rt:reused"' sleep 1000
$RT --systemd-cgroup run -d -b $B second; is "a name used again" 0 $?
$RT delete first; is "the delete of the first" 0 $?; is "leaves the second alone" running "$(field second status)"
$RT delete --force second
is "nothing is left" "" "$($RT list -q)$(systemctl list-units --all --plain --no-legend 'rt-*.scope')"

has "features" '"systemd":true' "$($RT features | jq -c .linux.cgroup)"
me=$(realpath "$0")
as_user() { runuser -u tester -- env RT_CHAPTER_USER=1 XDG_RUNTIME_DIR=/run/user/1000 HOME=/home/tester "$@"; }
as_user sh "$me" $RT || failed=$((failed + 1))
end "systemd as root"
