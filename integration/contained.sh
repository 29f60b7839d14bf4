#!/bin/sh
# contained.sh COMMAND...   runs COMMAND as root in a throw-away view of this machine.
#
# A runtime under test has root's hands. On 21 November 2026 one of them followed an id of "/" and deleted /etc of the
# machine. So no test touches the machine itself: here every file system is read-only, what must be written is a tmpfs,
# the process ids, the network, /dev and the roots of the cgroup hierarchies are our own. docs/testing.md tells more.
#
#   CGROUP_VIEW=v1|v2|host   which hierarchies are seen; v1 hides cgroup2 (crun refuses to see both), v2 all others
#   CGROUP_MORE="hugetlb net_cls,net_prio"   more hierarchies of cgroup v1, if this machine uses those controllers nowhere
#   LINK=eth0                a network device beside lo
set -eu

here=$(cd "$(dirname "$0")/.." && pwd -P)
outside=${RT_OUTSIDE_CGROUP:-/rt-test/contained-$$}

fail() { echo "contained.sh: $*" >&2; exit 125; }

# hierarchies: "PATH CONTROLLERS" of each mounted cgroup file system; CONTROLLERS is "-" for cgroup2
hierarchies() {
    while read -r _ _ _ _ point rest; do
        case " ${rest#* - } " in
            " cgroup2 "*) echo "$point -" ;;
            " cgroup "*) options=${rest##* }; echo "$point ${options#rw,}" ;;
        esac
    done < /proc/self/mountinfo
}

# make_cgroup DIRECTORY: with what its parent has. A cpuset of v1 begins empty and takes nobody then.
make_cgroup() {
    mkdir -p "$1"
    for file in cpuset.cpus cpuset.mems; do
        [ ! -e "$1/$file" ] || [ -e "$1/cgroup.controllers" ] || [ -n "$(cat "$1/$file")" ] || cat "$1/../$file" > "$1/$file"
    done
    [ ! -e "$1/../cgroup.subtree_control" ] || give_controllers "$1/.."
}

# give_controllers DIRECTORY: its children may use whatever it has (cgroup2)
give_controllers() {
    for controller in $(cat "$1/cgroup.controllers"); do
        echo "+$controller" > "$1/cgroup.subtree_control" 2>/dev/null || true
    done
}

# thaw DIRECTORY: a frozen process cannot be killed, and its pid namespace would never end
thaw() {
    find "$1" -name freezer.state 2>/dev/null | while read -r file; do echo THAWED > "$file" 2>/dev/null || true; done
}

# remove_cgroup DIRECTORY: with all below it, whose last processes may still be dying
remove_cgroup() {
    for _ in $(seq 50); do
        [ -d "$1" ] || return 0
        find "$1" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.1
    done
}

# remove_abandoned POINT: the cgroups of runs that SIGKILL has ended; their names have the pid
remove_abandoned() {
    for old in "$1"/rt-test/contained-*; do
        [ -d "$old" ] && [ ! -e "/proc/${old##*-}" ] || continue
        [ -n "$(find "$old" -name cgroup.procs -exec cat {} + 2>/dev/null)" ] || remove_cgroup "$old"
    done
}

# --- outside: a cgroup of our own in each hierarchy, then the namespaces around it -----------------------------------
# stop CODE: a signal ends the view, and with it everything inside; what was made here is taken away all the same.
stop() {
    stopped=$1
    [ -z "${view_pid:-}" ] || kill -KILL "$view_pid" 2>/dev/null || true
}
if [ -z "${RT_CONTAINED:-}${RT_CONTAINED_STEP:-}" ] || [ "${RT_CONTAINED_STEP:-}" = mounting ]; then
    [ "$(id -u)" = 0 ] || fail "must be root"
    [ $# -gt 0 ] || fail "usage: contained.sh COMMAND..."
    stopped=
    trap 'stop 129' HUP; trap 'stop 130' INT; trap 'stop 143' TERM
fi

# More hierarchies exist in a mount namespace of their own alone. In a cgroup namespace it would be too late.
if [ -n "${CGROUP_MORE:-}" ] && [ -z "${RT_CONTAINED:-}${RT_CONTAINED_STEP:-}" ]; then
    RT_CONTAINED_STEP=mounting exec unshare --mount --propagation private "$0" "$@"
fi
more= handed=
if [ "${RT_CONTAINED_STEP:-}" = mounting ]; then
    more=$(mktemp -d /tmp/contained.XXXXXX)
    mount -t tmpfs none "$more"
    # A controller that only earlier runs had use for, on cgroup2, is free for cgroup v1 until we end.
    unified=$(hierarchies | sed -n 's/ -$//p' | head -n 1)
    for one in $CGROUP_MORE; do
        case " $(cat "$unified/cgroup.subtree_control" 2>/dev/null) " in *" $one "*) ;; *) continue ;; esac
        remove_abandoned "$unified"
        rmdir "$unified/rt-test" 2>/dev/null || true
        [ -z "$(find "$unified" -mindepth 1 -type d)" ] || continue
        echo "-$one" > "$unified/cgroup.subtree_control" || continue
        handed="$handed $one"
    done
    for one in $CGROUP_MORE; do
        ! hierarchies | grep -q " .*${one%%,*}" || continue
        mkdir "$more/$one"
        mount -t cgroup -o "$one" cgroup "$more/$one" 2>/dev/null || {
            rmdir "$more/$one"
            echo "contained.sh: no $one to spare" >&2
        }
    done
    unset RT_CONTAINED_STEP CGROUP_MORE
fi

# leave_more: a hierarchy goes when it is unmounted without a cgroup, and removed ones die a moment later.
leave_more() {
    for point in "$more"/*; do
        [ -d "$point" ] || continue
        remove_abandoned "$point"
        rmdir "$point/rt-test" 2>/dev/null || true
        controller=${point##*/}
        for _ in 1 2 3 4 5; do
            umount "$point" || break
            for _ in 1 2 3 4 5 6 7 8 9 10; do
                ! grep -q "^${controller%%,*}[[:space:]]*0[[:space:]]" /proc/cgroups || break 2
                sleep 0.1
            done
            mount -t cgroup -o "$controller" cgroup "$point" 2>/dev/null || break
        done || true
        ! mountpoint -q "$point" || echo "contained.sh: the hierarchy of $controller has cgroups left" >&2
    done
    umount -l "$more"
    rmdir "$more"
    for one in $handed; do echo "+$one" > "$unified/cgroup.subtree_control" 2>/dev/null || true; done
}

if [ -z "${RT_CONTAINED_STEP:-}" ]; then
    [ -z "${RT_CONTAINED:-}" ] || exec "$@"
    hierarchies | while read -r point _; do
        remove_abandoned "$point"
        make_cgroup "$point/rt-test"
        make_cgroup "$point$outside"
    done
    code=0
    if [ -z "$stopped" ]; then
        (
            export RT_CONTAINED_STEP=joining RT_OUTSIDE_CGROUP="$outside"
            exec unshare --mount --pid --fork --kill-child --net --ipc --uts --propagation private "$0" "$@"
        ) < /dev/null & view_pid=$!
        while kill -0 "$view_pid" 2>/dev/null; do code=0; wait "$view_pid" || code=$?; done   # a signal ends one wait
    fi
    for point in $(hierarchies | cut -d' ' -f1); do thaw "$point$outside"; done
    for point in $(hierarchies | cut -d' ' -f1); do
        remove_cgroup "$point$outside"
        rmdir "$point/rt-test" 2>/dev/null || true
    done
    [ -z "$more" ] || leave_more
    exit "${stopped:-$code}"
fi

# --- pid 1 of the view: into the cgroups, which the cgroup namespace then takes for its roots ------------------------
if [ "$RT_CONTAINED_STEP" = joining ]; then
    for point in $(hierarchies | cut -d' ' -f1); do echo 0 > "$point$outside/cgroup.procs"; done
    RT_CONTAINED_STEP=inside exec unshare --cgroup "$0" "$@"
fi

# --- inside: pid 1 of the view ---------------------------------------------------------------------------------------
cd "$here"
view=${CGROUP_VIEW:-host}
wanted=$(hierarchies | while read -r point controllers; do
    case $view.$controllers in v1.-) ;; v2.-|host.*|v1.*) echo "$point $controllers" ;; esac
done)

# Every mount of the machine becomes read-only, in this mount namespace alone.
cut -d' ' -f5 /proc/self/mountinfo | while read -r point; do
    mount -o remount,bind,ro "$point" 2>/dev/null || true
done

# What will be covered is taken away first: a runtime reads the whole mount table, and believes it.
cut -d' ' -f5 /proc/self/mountinfo | sort -r | while read -r point; do
    case $point in /dev*|/sys*|/tmp/*|/var/tmp/*|/root/*|/run/*) umount -l "$point" ;; esac
done
for point in /tmp /var/tmp /root /run; do
    mount -t tmpfs -o mode=1777,size=6g contained "$point"
done
chmod 755 /run /root
mkdir -p /run/lock /run/user/0 /run/netns
case $here in
    /tmp/*|/var/tmp/*|/root/*|/run/*)   # the tmpfs has covered our own folder: show it again, read-only as it is
        mkdir -p "$here"; mount --no-canonicalize --bind /proc/self/cwd "$here"; cd "$here" ;;
esac

mkdir /run/dev
mount -t tmpfs -o mode=755 dev /run/dev
while read -r name major minor; do
    mknod -m 666 "/run/dev/$name" c "$major" "$minor"
done <<NODES
null 1 3
zero 1 5
full 1 7
random 1 8
urandom 1 9
tty 5 0
fuse 10 229
NODES
mkdir /run/dev/pts /run/dev/shm /run/dev/mqueue /run/dev/net
mknod -m 666 /run/dev/net/tun c 10 200
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts /run/dev/pts
mount -t tmpfs -o mode=1777 shm /run/dev/shm
mount -t mqueue mqueue /run/dev/mqueue
ln -s pts/ptmx /run/dev/ptmx
ln -s /proc/self/fd /run/dev/fd
for stream in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${stream%:*}" "/run/dev/${stream#*:}"; done
mount --move /run/dev /dev
rmdir /run/dev
exec < /dev/null

umount -l /proc
mount -t proc proc /proc
# The kernel lets a user namespace mount proc and sysfs only where it sees whole ones; below, parts are covered.
mkdir -p /run/whole/proc /run/whole/sys
mount -t proc proc /run/whole/proc
mount -t sysfs sysfs /run/whole/sys
# The rest of /proc/sys stays open: a runtime may set a container's own parameters through it.
for point in /proc/sysrq-trigger /proc/sys/vm /proc/sys/dev /proc/sys/debug /proc/sys/kernel/core_pattern \
    /proc/sys/kernel/modprobe /proc/sys/kernel/panic /proc/sys/kernel/sysrq /proc/sys/fs/file-max; do
    [ -e "$point" ] || continue
    mount --bind "$point" "$point"
    mount -o remount,bind,ro "$point"
done

mount -t sysfs -o ro sysfs /sys
mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
echo "$wanted" | while read -r point controllers; do
    if [ "$view" = v2 ]; then point=/sys/fs/cgroup; else point=/sys/fs/cgroup/${point##*/}; fi
    mkdir -p "$point"
    if [ "$controllers" = - ]; then mount -t cgroup2 cgroup2 "$point"; else mount -t cgroup -o "$controllers" cgroup "$point"; fi
    case $controllers in *=*) ;; *,*) for one in $(echo "$controllers" | tr , ' '); do ln -sf "${point##*/}" "/sys/fs/cgroup/$one"; done ;; esac
done
# The suite itself stays in a leaf, so that the root of the view can hand controllers on.
for point in $(hierarchies | cut -d' ' -f1); do
    make_cgroup "$point/runner"
    echo 0 > "$point/runner/cgroup.procs"
    [ ! -e "$point/cgroup.subtree_control" ] || give_controllers "$point"
done

hostname contained
ip link set lo up 2>/dev/null || true
[ -z "${LINK:-}" ] || ip link add "other-end" type veth peer name "$LINK" || fail "no network device $LINK"

# Does it hold? A single place that can be written is one too many.
for point in / /etc /usr /var /boot /home "$here" "$here/target" /sys; do
    [ -d "$point" ] || continue
    if (: > "$point/.contained-probe") 2>/dev/null; then
        rm -f "$point/.contained-probe"
        fail "$point can be written: nothing was run"
    fi
done

export RT_CONTAINED=1 HOME=/root TMPDIR=/tmp
unset RT_CONTAINED_STEP RT_OUTSIDE_CGROUP
code=0
env --default-signal "$@" || code=$?   # a shell that runs us in the background has let us ignore SIGINT
thaw /sys/fs/cgroup
exit $code
