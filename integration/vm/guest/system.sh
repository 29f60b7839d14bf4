#!/bin/sh
# system.sh RT   a whole system as a container, in the manner of LXC: systemd as its pid 1 boots, is logged into, and
#                shuts down; under both cgroup drivers. Its root is the guest's own, under an overlay.
. "$(dirname "$0")/chapter.sh"
install_rt "$1"

mkdir -p /run/overlay /run/system
mount -t tmpfs overlay /run/overlay && mkdir /run/overlay/upper /run/overlay/work
mount -t overlay -o lowerdir=/,upperdir=/run/overlay/upper,workdir=/run/overlay/work overlay /run/system || exit 1
# What runs us would run again.
find /run/system/etc/systemd/system -path '*.wants/*' \( -name 'vm-run.service' -o -name 'job.service' \) -delete
ROOTFS=/run/system

caps='["CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
    "CAP_MKNOD", "CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID",
    "CAP_SYS_ADMIN", "CAP_SYS_CHROOT", "CAP_SYS_NICE", "CAP_SYS_PTRACE", "CAP_SYS_RESOURCE"]'
tmpfs() { echo "{destination: \"$1\", type: \"tmpfs\", source: \"tmpfs\", options: [\"nosuid\", \"nodev\", \"mode=$2\"]}"; }
bundle ".process.env += [\"container=oci\"] | .root.readonly = false | .process.rlimits = [] | .process.noNewPrivileges = false
    | .process.capabilities |= map_values($caps) | .linux.resources = {memory: {limit: 536870912}, pids: {limit: 500}}
    | .mounts |= map(select(.destination != \"/sys/fs/cgroup\")) + [{destination: \"/sys/fs/cgroup\", type: \"cgroup\",
        source: \"cgroup\", options: [\"nosuid\", \"noexec\", \"nodev\"]}, $(tmpfs /run 755), $(tmpfs /tmp 1777)]" \
    /lib/systemd/systemd

for driver in cgroupfs systemd; do
    case $driver in cgroupfs) D=$CG/rt/sys ;; systemd) D=$CG/system.slice/rt-sys.scope ;; esac
    inside() { $RT exec sys "$@" </dev/null 2>/tmp/inside.err; } # never our terminal: a service would reset it
    $RT --cgroup-manager $driver run -d -b $B sys; is "$driver: run" 0 $?
    until_ 'inside systemctl is-system-running 2>/dev/null | grep -qx running'; is "$driver: it boots, and nothing has failed" 0 $?
    is "$driver: to its target" active "$(inside systemctl is-active multi-user.target)"
    is "$driver: it is pid 1" systemd "$(inside cat /proc/1/comm)"
    is "$driver: in a cgroup of its own making" 0::/init.scope "$(inside cat /proc/1/cgroup)"
    is "$driver: an exec goes there too" 0::/init.scope "$(inside cat /proc/self/cgroup)"
    is "$driver: the limits hold around it" "536870912 500" "$(cat $D/memory.max $D/pids.max | xargs)"
    is "$driver: a login" tester "$(inside runuser -l tester -c 'id -un')"
    has "$driver: has a session" /user.slice/user-1000.slice/session- "$(inside runuser -l tester -c 'cat /proc/self/cgroup')"
    is "$driver: a service can be limited" 12345344 "$(inside systemd-run -q --pipe --wait -p MemoryMax=12345344 sh -c 'cat /sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)/memory.max')"
    systemctl daemon-reload; is "$driver: the reload of the outer systemd is nothing to it" running "$(inside systemctl is-system-running)"
    inside systemctl poweroff; is "$driver: it is asked to shut down" 0 $?
    until_ '[ "$(field sys status)" = stopped ]'; is "$driver: it shuts down" 0 $?
    $RT delete sys; is "$driver: delete" 0 $?; is "$driver: leaves no cgroup" no "$(test -e $D && echo yes || echo no)"
done
# Where its own way down is the stop signal that its manager sends.
$RT --systemd-cgroup run -d -b $B sys; until_ 'inside systemctl is-system-running 2>/dev/null | grep -qx running'
$RT kill sys RTMIN+3 2>/dev/null || $RT kill sys 37; until_ '[ "$(field sys status)" = stopped ]'; is "SIGRTMIN+3 ends it" 0 $?
$RT delete sys; is "delete" 0 $?
end "a whole system"
