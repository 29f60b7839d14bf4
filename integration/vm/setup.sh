#!/bin/sh
# setup.sh [DIRECTORY]   makes the guest that the tests boot: Debian 13's files in rootfs.img, and a kernel to run them.
#
# Everything comes from Debian packages of the mirror that this machine uses. Made once, under a minute; made again when
# this script or guest/ changes. DIRECTORY is target/vm by default. Must be root: it makes a root file system.
set -eu
here=$(cd "$(dirname "$0")" && pwd -P)
dir=${1:-$here/../../target/vm}
mkdir -p "$dir"; dir=$(cd "$dir" && pwd -P)
root=$dir/rootfs

fail() { echo "vm/setup.sh: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || fail "must be root"
exec 9> "$dir/lock"; flock 9

# What the guest has beyond the essential packages of Debian.
packages="systemd systemd-sysv dbus dbus-user-session libpam-systemd
    apparmor selinux-policy-default selinux-utils policycoreutils
    bpftool busybox-static iproute2 procps util-linux uidmap kmod jq strace libcap2-bin psmisc libseccomp2
    crun runc containerd podman conmon netavark aardvark-dns nftables iptables passt fuse-overlayfs criu
    docker.io docker-cli buildah containernetworking-plugins python3-grpcio catatonit tini"
# Units that a guest of seconds has no use for.
unwanted="getty.target getty@tty1.service console-getty.service apt-daily.timer apt-daily-upgrade.timer
    dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer systemd-firstboot.service ldconfig.service
    systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-udev-trigger.service
    systemd-hwdb-update.service systemd-journal-catalog-update.service systemd-journal-flush.service
    systemd-random-seed.service systemd-modules-load.service kmod-static-nodes.service modprobe@.service
    systemd-sysctl.service systemd-update-utmp.service systemd-networkd-wait-online.service nftables.service
    apparmor.service selinux-autorelabel-mark.service containerd.service podman.service podman.socket
    docker.service docker.socket podman-restart.service podman-auto-update.service podman-auto-update.timer podman-clean-transient.service
    dev-hugepages.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount
    proc-sys-fs-binfmt_misc.automount remote-fs.target"

. "$here/apt.sh"

# in_guest COMMAND...   runs a program of the guest's
in_guest() { chroot "$root" "$@"; }

make_root() {
    echo "vm: making a Debian 13 guest in $dir" >&2
    mmdebstrap --quiet --variant=minbase --aptopt='APT::Install-Recommends "0"' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --include="$(echo $packages | tr ' ' ,)" trixie "$root" "deb [signed-by=$keyring] $mirror trixie main"
    install -m 755 "$here/guest/init" "$here/guest/job" "$root/usr/local/sbin/"
    install -m 644 "$here/guest/job.service" "$root/etc/systemd/system/"
    units=$root/etc/systemd/system
    mkdir -p "$units/multi-user.target.wants"
    ln -s ../job.service "$units/multi-user.target.wants/"
    ln -s /lib/systemd/system/multi-user.target "$units/default.target"
    for unit in $unwanted; do ln -sf /dev/null "$units/$unit"; done
    echo guest > "$root/etc/hostname"
    : > "$root/etc/fstab"
    tr -d - < /proc/sys/kernel/random/uuid > "$root/etc/machine-id"
    # The user of the rootless tests, whose systemd runs though nobody logs in.
    in_guest useradd --create-home --uid 1000 --groups users --shell /bin/sh tester
    # As the documentation of rootless containers has it: all that systemd can delegate.
    mkdir -p "$units/user@.service.d"
    printf '[Service]\nDelegate=cpu cpuset io memory pids\n' > "$units/user@.service.d/delegate.conf"
    mkdir -p "$root/var/lib/systemd/linger"
    : > "$root/var/lib/systemd/linger/tester"
    # SELinux: the policy's container types, and a label on every file.
    in_guest semodule -n -i /usr/share/selinux/default/container.pp.bz2 > /dev/null 2>&1
    in_guest setfiles -F -e /proc -e /sys -e /dev /etc/selinux/default/contexts/files/file_contexts / > /dev/null 2>&1 || true
}

# Whoever runs a guest meanwhile keeps the files that he has open: each is replaced as a whole.
make_uml() {
    unpack sid user-mode-linux "$root.uml"
    mkdir -p "$root/usr/lib/modules" "$dir/lib"
    cp -a "$root.uml/usr/lib/uml/modules/." "$root/usr/lib/modules/"
    # It is built against a newer libc than bookworm's: the guest's own serves.
    for file in lib64/ld-linux-x86-64.so.2 lib/x86_64-linux-gnu/libc.so.6; do
        cp -L "$root/$file" "$dir/lib/new"
        mv "$dir/lib/new" "$dir/lib/${file##*/}"
    done
    patchelf --set-interpreter "$dir/lib/ld-linux-x86-64.so.2" --set-rpath "$dir/lib" \
        --output "$dir/linux.new" "$root.uml/usr/bin/linux.uml"
    mv "$dir/linux.new" "$dir/linux"
}

wanted=$(cat "$here/setup.sh" "$here"/guest/init "$here"/guest/job "$here"/guest/job.service | sha256sum)
if [ "$(cat "$dir/made" 2>/dev/null)" != "$wanted" ]; then
    rm -rf "$dir/made" "$root" "$root.uml"
    "$here/../need.sh" mmdebstrap e2fsprogs patchelf debian-archive-keyring
    make_root
    make_uml
    mke2fs -q -t ext4 -O ^has_journal -m 0 -L root -d "$root" "$dir/rootfs.new" 4G > /dev/null
    mv "$dir/rootfs.new" "$dir/rootfs.img"
    rm -rf "$root" "$root.uml"
    echo "$wanted" > "$dir/made"
fi
