#!/bin/sh
# setup.sh [DIRECTORY]   makes the guest that the tests boot: Debian 13's files in rootfs.img, and a kernel to run them.
#
# Everything comes from Debian packages of the mirror that this machine uses. Made once, under a minute; made again when
# this script or guest/ changes. DIRECTORY is target/vm by default. Must be root: it makes a root file system.
#   KERNEL=6.12 (or 6.1)   adds QEMU and that kernel of Debian's, for boot.sh --kernel
set -eu
here=$(cd "$(dirname "$0")" && pwd -P)
dir=${1:-$here/../../target/vm}
mkdir -p "$dir"; dir=$(cd "$dir" && pwd -P)
kernel=${KERNEL:-}

fail() { echo "vm/setup.sh: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || fail "must be root"
exec 9> "$dir/lock"; flock 9

# What the guest has beyond the essential packages of Debian.
packages="systemd systemd-sysv dbus dbus-user-session libpam-systemd
    apparmor selinux-policy-default selinux-utils policycoreutils
    bpftool busybox-static iproute2 procps util-linux uidmap kmod jq strace libcap2-bin psmisc libseccomp2
    crun runc containerd podman conmon netavark aardvark-dns nftables iptables passt fuse-overlayfs criu"
# Units that a guest of seconds has no use for.
unwanted="getty.target getty@tty1.service console-getty.service apt-daily.timer apt-daily-upgrade.timer
    dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer systemd-firstboot.service ldconfig.service
    systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-udev-trigger.service
    systemd-hwdb-update.service systemd-journal-catalog-update.service systemd-journal-flush.service
    systemd-random-seed.service systemd-modules-load.service kmod-static-nodes.service modprobe@.service
    systemd-sysctl.service systemd-update-utmp.service systemd-networkd-wait-online.service nftables.service
    apparmor.service selinux-autorelabel-mark.service containerd.service podman.service podman.socket
    podman-restart.service podman-auto-update.service podman-auto-update.timer podman-clean-transient.service
    dev-hugepages.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount
    proc-sys-fs-binfmt_misc.automount remote-fs.target"

mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1)
[ -n "$mirror" ] || fail "apt has no mirror: run apt-get update"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# apt_of SUITE ARGUMENTS...   apt-get with the lists of another suite, kept apart from this machine's
apt_of() {
    suite=$1; shift
    mkdir -p "$dir/apt/$suite/partial"
    echo "deb [signed-by=$keyring] $mirror $suite main" > "$dir/apt/$suite.list"
    (cd "$dir/apt" && apt-get -qq -o APT::Sandbox::User=root -o Dir::Etc::SourceList="$dir/apt/$suite.list" -o Dir::Etc::SourceParts=- \
        -o Dir::State::Lists="$dir/apt/$suite" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= "$@")
}
# unpack SUITE PACKAGE DIRECTORY
unpack() {
    apt_of "$1" update
    rm -f "$dir/apt/$2"_*.deb
    apt_of "$1" download "$2"
    dpkg-deb -x "$dir/apt/$2"_*.deb "$3"
    rm -f "$dir/apt/$2"_*.deb
}

# in_guest COMMAND...   runs a program of the guest's
in_guest() { chroot "$dir/rootfs" "$@"; }

make_root() {
    echo "vm: making a Debian 13 guest in $dir" >&2
    rm -rf "$dir/rootfs"
    mmdebstrap --quiet --variant=minbase --aptopt='APT::Install-Recommends "0"' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --include="$(echo $packages | tr ' ' ,)" trixie "$dir/rootfs" "deb [signed-by=$keyring] $mirror trixie main"
    install -m 755 "$here/guest/init" "$here/guest/job" "$dir/rootfs/usr/local/sbin/"
    install -m 644 "$here/guest/job.service" "$dir/rootfs/etc/systemd/system/"
    units=$dir/rootfs/etc/systemd/system
    mkdir -p "$units/multi-user.target.wants"
    ln -s ../job.service "$units/multi-user.target.wants/"
    ln -s /lib/systemd/system/multi-user.target "$units/default.target"
    for unit in $unwanted; do ln -sf /dev/null "$units/$unit"; done
    echo guest > "$dir/rootfs/etc/hostname"
    : > "$dir/rootfs/etc/fstab"
    tr -d - < /proc/sys/kernel/random/uuid > "$dir/rootfs/etc/machine-id"
    # The user of the rootless tests, whose systemd runs though nobody logs in.
    in_guest useradd --create-home --uid 1000 --shell /bin/sh tester
    mkdir -p "$dir/rootfs/var/lib/systemd/linger"
    : > "$dir/rootfs/var/lib/systemd/linger/tester"
    # SELinux: the policy's container types, and a label on every file.
    in_guest semodule -n -i /usr/share/selinux/default/container.pp.bz2 2>/dev/null
    in_guest setfiles -F -e /proc -e /sys -e /dev /etc/selinux/default/contexts/files/file_contexts / > /dev/null 2>&1 || true
}

make_uml() {
    rm -rf "$dir/uml"
    unpack sid user-mode-linux "$dir/uml"
    # It is built against a newer libc than bookworm's: the guest's own serves.
    cp "$dir/uml/usr/bin/linux.uml" "$dir/linux"
    patchelf --set-interpreter "$dir/rootfs/lib64/ld-linux-x86-64.so.2" \
        --set-rpath "$dir/rootfs/lib/x86_64-linux-gnu" "$dir/linux"
    mkdir -p "$dir/rootfs/usr/lib/modules"
    cp -a "$dir/uml/usr/lib/uml/modules/." "$dir/rootfs/usr/lib/modules/"
}

wanted=$(cat "$here/setup.sh" "$here"/guest/init "$here"/guest/job "$here"/guest/job.service | sha256sum)
if [ "$(cat "$dir/made" 2>/dev/null)" != "$wanted" ]; then
    rm -f "$dir/made"
    "$here/../need.sh" mmdebstrap e2fsprogs patchelf debian-archive-keyring
    make_root
    make_uml
    rm -f "$dir/rootfs.img"
    mke2fs -q -t ext4 -O ^has_journal -m 0 -L root -d "$dir/rootfs" "$dir/rootfs.img" 4G
    echo "$wanted" > "$dir/made"
fi
