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

# --- outside: a cgroup of our own in each hierarchy, then the namespaces around it -----------------------------------
if [ -n "${CGROUP_MORE:-}" ] && [ -z "${RT_CONTAINED:-}${RT_CONTAINED_STEP:-}" ]; then
    more=$(mktemp -d /tmp/contained.XXXXXX)
    code=0
    # In a mount namespace of its own: the machine's mounts stay as they are. In a cgroup namespace it would be too late.
    RT_CONTAINED_STEP=mounting unshare --mount --propagation private "$0" "$more" "$@" || code=$?
    # A hierarchy goes when it is unmounted without a cgroup, and the last of them die a moment later.
    sleep 0.5
    RT_CONTAINED_STEP=mounting unshare --mount --propagation private "$0" "$more"
    rmdir "$more"
    exit $code
fi
if [ "${RT_CONTAINED_STEP:-}" = mounting ]; then
    mount -t tmpfs none "$1"
    for one in $CGROUP_MORE; do
        ! hierarchies | grep -q " .*${one%%,*}" || continue
        mkdir "$1/$one"
        mount -t cgroup -o "$one" cgroup "$1/$one" 2>/dev/null || [ $# = 1 ] || echo "contained.sh: no $one to spare" >&2
    done
    [ $# -gt 1 ] || exit 0
    unset RT_CONTAINED_STEP CGROUP_MORE
    shift
fi
if [ -z "${RT_CONTAINED_STEP:-}" ]; then
    [ "$(id -u)" = 0 ] || fail "must be root"
    [ $# -gt 0 ] || fail "usage: contained.sh COMMAND..."
    [ -z "${RT_CONTAINED:-}" ] || exec "$@"
    hierarchies | while read -r point _; do
        make_cgroup "$point/rt-test"
        make_cgroup "$point$outside"
    done
    code=0
    (
        export RT_CONTAINED_STEP=joining RT_OUTSIDE_CGROUP="$outside"
        exec unshare --mount --pid --fork --kill-child --net --ipc --uts --propagation private "$0" "$@"
    ) < /dev/null || code=$?
    for point in $(hierarchies | cut -d' ' -f1); do
        for _ in 1 2 3 4 5 6 7 8 9 10; do   # the last processes may still be dying
            [ -d "$point$outside" ] || break
            find "$point$outside" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.1
        done
        rmdir "$point/rt-test" 2>/dev/null || true
    done
    exit $code
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
# A frozen process cannot be killed, and this pid namespace would never end.
find /sys/fs/cgroup -name freezer.state 2>/dev/null | while read -r file; do echo THAWED > "$file" 2>/dev/null || true; done
exit $code
