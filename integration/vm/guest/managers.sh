#!/bin/sh
# managers.sh RUNTIME [MANAGER...]   the scripts of integration/managers in a guest: cgroup v2, systemd as pid 1, Debian 13's managers.
# A guest is a machine to be thrown away, so nothing is contained; what machine.sh makes is made here.
set -u
here=$(cd "$(dirname "$0")/../../.." && pwd -P)
export RUNTIME="$1" PODS=${PODS:-10} RT_CONTAINED=guest RT_BUSYBOX=/usr/bin/busybox; shift
grep -q 'rt\.guest=1' /proc/cmdline || { echo "$0: runs in the guest only" >&2; exit 125; }

modprobe -a bridge veth overlay fuse 2>/dev/null
printf 'containers:200000:1000000\ndockremap:1300000:65536\n' | tee /etc/subuid > /etc/subgid
useradd --system --no-create-home dockremap
rm -rf /etc/containers /etc/cni /etc/docker /etc/containerd
mkdir -p /etc/containers /etc/cni/net.d /etc/docker /etc/containerd
mount -o remount,dev,suid,exec /tmp
. "$here/integration/managers/cable.sh"

code=0
for manager in ${*:-podman buildah docker containerd}; do
    timeout -k 10 900 "$here/integration/managers/$manager.sh" > "/tmp/$manager.out" 2>&1 < /dev/null || code=1
    grep -v '^ok ' "/tmp/$manager.out"
    grep -q "^$manager: [0-9]* passed" "/tmp/$manager.out" || { echo "$manager: 0 passed, 1 failed: it did not end"; code=1; }
    rm -rf /etc/containers/* /etc/docker/*
done
exit $code
