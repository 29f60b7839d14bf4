#!/bin/sh
# cgroup-view.sh v1 COMMAND...   runs COMMAND where the machine looks like cgroup v1 alone.
# A hybrid host (v1 and a cgroup2 mount beside it) is refused by crun. Only this private mount namespace is changed.
set -eu
view=$1; shift
[ "$view" = v1 ] || { echo "cgroup-view.sh: $view: only v1 is known" >&2; exit 2; }
if [ -d /sys/fs/cgroup/unified ] && [ "${CGROUP_VIEW:-}" != v1 ]; then
    CGROUP_VIEW=v1 exec unshare --mount --propagation private "$0" v1 "$@"
fi
if mountpoint -q /sys/fs/cgroup/unified; then
    umount /sys/fs/cgroup/unified
fi
exec "$@"
