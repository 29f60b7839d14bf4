#!/bin/sh
# machine.sh COMMAND...   runs COMMAND in a throw-away machine that a container manager takes for its own.
#
# It is integration/contained.sh (nothing of this machine can be written, docs/testing.md), and on top of it what
# managers want to own: /etc as an overlay, an empty /var, a network with a default route. All of it is tmpfs.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)

if [ -z "${RT_CONTAINED:-}" ]; then
    sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
    exec $sudo env PATH="$PATH:/usr/sbin:/sbin" RUNTIME="${RUNTIME:-}" CGROUP_VIEW="${CGROUP_VIEW:-v1}" "$here/integration/contained.sh" "$here/integration/managers/machine.sh" "$@"
fi

# An overlay over /etc: what Debian has put there is seen, what managers write is forgotten.
mkdir -p /run/machine
mount -t tmpfs -o mode=755 machine /run/machine
mkdir /run/machine/changed /run/machine/work
mount -t overlay -o lowerdir=/etc,upperdir=/run/machine/changed,workdir=/run/machine/work etc /etc
for place in /var/lib /var/cache /var/log /opt; do mount -t tmpfs -o mode=755 machine "$place"; done
rm -rf /etc/containers /etc/cni /etc/docker /etc/containerd
mkdir -p /etc/containers /etc/cni/net.d /etc/docker /etc/containerd

# Ids for user namespaces: podman's auto (containers), docker's userns-remap (dockremap), and a user without privilege.
for file in /etc/subuid /etc/subgid; do
    printf 'containers:200000:1000000\ndockremap:1300000:65536\nguest:1400000:65536\n' > "$file"
done
grep -q '^guest:' /etc/passwd || echo 'guest:x:4000:4000::/home/guest:/bin/sh' >> /etc/passwd
grep -q '^guest:' /etc/group || echo 'guest:x:4000:' >> /etc/group
grep -q '^dockremap:' /etc/passwd || echo 'dockremap:x:4001:4001::/:/bin/false' >> /etc/passwd
grep -q '^dockremap:' /etc/group || echo 'dockremap:x:4001:' >> /etc/group
mount -t tmpfs -o mode=755 home /home
mkdir /home/guest /run/user/4000
chown 4000:4000 /home/guest /run/user/4000
chmod 700 /home/guest /run/user/4000

. "$here/integration/managers/cable.sh"

mount --make-rshared /
export XDG_RUNTIME_DIR=/run/user/0 PATH=$here/target/criu:/usr/sbin:/usr/bin:/sbin:/bin   # Debian's managers, and a criu for new kernels
cd /
exec "$@"
