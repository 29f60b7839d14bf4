# Checks of one manager: sourced by its script. Prints each check, and a sum in the form "docker: N passed, M failed".
#   RUNTIME=crun|runc|PATH   the runtime under the manager [target/release/rt]
here=$(cd "$(dirname "$0")/../.." && pwd)
runtime=${RUNTIME:-$here/target/release/rt}
case $runtime in */*) ;; *) runtime=$(command -v "$runtime") || { echo "$0: $RUNTIME: not found" >&2; exit 2; } ;; esac
case $runtime in /*) ;; *) runtime=$here/$runtime ;; esac
runtime_name=${runtime##*/}

# Everything happens in the throw-away machine.
if [ -z "${RT_CONTAINED:-}" ]; then
    [ -x "$runtime" ] || { echo "$0: $runtime: not found (make build)" >&2; exit 2; }
    RUNTIME=$runtime exec "$here/integration/managers/machine.sh" "$here/integration/managers/${0##*/}" "$@"
fi

# Where limits stand, as a container sees its cgroup.
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    memory_max=/sys/fs/cgroup/memory.max cpu_max=/sys/fs/cgroup/cpu.max cpu_weight=/sys/fs/cgroup/cpu.weight pids_max=/sys/fs/cgroup/pids.max
else
    memory_max=/sys/fs/cgroup/memory/memory.limit_in_bytes cpu_max=/sys/fs/cgroup/cpu/cpu.cfs_quota_us
    cpu_weight=/sys/fs/cgroup/cpu/cpu.shares pids_max=/sys/fs/cgroup/pids/pids.max
fi
shares_512=512
[ ! -e /sys/fs/cgroup/cgroup.controllers ] || shares_512='[25][09]'   # of 10000: 59, or 20 by the older formula
export memory_max cpu_max cpu_weight pids_max
# Who makes the cgroups where the manager has a choice: systemd, where it is pid 1.
driver=cgroupfs
[ ! -d /run/systemd/system ] || driver=systemd
oom_tries=1
[ $driver = cgroupfs ] || oom_tries=15
# A guest of integration/vm has no firewall: no NAT, and no ports that are forwarded by it.
cpuset=yes
[ ! -e /sys/fs/cgroup/cgroup.controllers ] || grep -qw cpuset /sys/fs/cgroup/cgroup.controllers || cpuset=
firewall=yes
{ iptables -t nat -N rt-probe && iptables -t nat -X rt-probe; } 2> /dev/null || firewall=

passed=0 failed=0 skipped=0 manager=$(basename "$0" .sh)

pass() { passed=$((passed + 1)); echo "ok    $1"; }
fail() { failed=$((failed + 1)); echo "FAIL  $1: $2"; }
skip() { skipped=$((skipped + 1)); echo "skip  $1: $2"; }

# expect WHAT CODE OUTPUT COMMAND...   runs COMMAND; OUTPUT is a shell pattern for all of its standard output
expect() {
    what=$1 code=$2 output=$3; shift 3
    got=0; printed=$("$@" 2> /tmp/stderr < /dev/null) || got=$?
    case $got:$printed in
        $code:$output) pass "$what" ;;
        *) fail "$what" "exit code $got, printed '$printed'"; head -c 2000 /tmp/stderr ;;
    esac
}

# expect_error WHAT CODE WORDS COMMAND...   as expect, with a pattern for standard error
expect_error() {
    what=$1 code=$2 words=$3; shift 3
    got=0; "$@" > /tmp/stdout 2> /tmp/stderr < /dev/null || got=$?
    case "$got:$(cat /tmp/stderr)" in
        $code:$words) pass "$what" ;;
        *) fail "$what" "exit code $got, complained '$(head -c 2000 /tmp/stderr)'" ;;
    esac
}

# prefer_newer SUITE PACKAGE   its programs before Debian's own; integration/newer.sh has put them there
prefer_newer() {
    newer=$here/target/newer/$1/$2/usr/bin
    [ -x "$newer/$2" ] || { echo "$newer is not there: integration/newer.sh $1 $2" >&2; exit 2; }
    export PATH="$newer:$PATH"
}

# soon COMMAND...   waits until COMMAND works, for at most 15 s
soon() {
    tries=0
    until "$@" > /dev/null 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 150 ] || return 1
        sleep 0.1
    done
}

# printed OUTPUT COMMAND...   whether COMMAND prints what the pattern OUTPUT says
printed() {
    wanted=$1; shift
    case $("$@" 2>/dev/null) in $wanted) true ;; *) false ;; esac
}

# expect_soon WHAT OUTPUT COMMAND...   COMMAND prints OUTPUT sooner or later
expect_soon() {
    what=$1 output=$2; shift 2
    if soon printed "$output" "$@"; then pass "$what"; else fail "$what" "printed '$("$@" 2>&1)'"; fi
}

# The image of all tests: busybox with its applets as hard links, as a tar file. `late` waits a moment before and after a program.
image() {
    [ -e /tmp/image.tar ] || {
        "$here/spec-examples/rootfs.sh" /tmp/image
        printf '#!/bin/sh\nsleep 0.2\n"$@"\ncode=$?\nsleep 0.2\nexit $code\n' > /tmp/image/bin/late
        chmod 755 /tmp/image/bin/late
        tar -C /tmp/image -cf /tmp/image.tar .
    }
    echo /tmp/image.tar
}

# has VERB   whether the runtime knows a command
has() { "$runtime" "$1" --help > /dev/null 2>&1; }

# unseen_hierarchy   whether this machine has a v1 hierarchy that nobody mounts: containerd's metrics stop there
unseen_hierarchy() {
    cut -d: -f2 /proc/self/cgroup | while read -r controllers; do
        case $controllers in ''|*=*) continue ;; esac
        grep -qE "cgroup rw(,[a-z_]+)*,${controllers%%,*}(,|$)" /proc/self/mountinfo || echo "$controllers"
    done | grep .
}

# Nothing of a container may be left: no state, no cgroup of its own, no mount of its root.
expect_nothing_left() {
    left=$(find "/run/$runtime_name" -mindepth 2 -maxdepth 2 -name state.json 2>/dev/null || true)
    # shellcheck disable=SC2086
    expect 'nothing is left of the state' 0 '' cat $left /dev/null
}

# sum   the last line, and the exit code
sum() {
    tail=; [ $skipped = 0 ] || tail=", $skipped skipped"
    echo "$manager: $passed passed, $failed failed$tail ($runtime_name)"
    [ $failed = 0 ]
}
