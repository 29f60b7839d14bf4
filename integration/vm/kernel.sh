#!/bin/sh
# kernel.sh 6.1|6.12 [DIRECTORY]   adds that kernel of Debian's to the guest of setup.sh, and QEMU to run it, for boot.sh --kernel.
# One module comes with it, in modules-VERSION: BFQ, for the weights of block devices (docs/guests.md).
set -eu
here=$(cd "$(dirname "$0")" && pwd -P)
version=$1
dir=${2:-$here/../../target/vm}
dir=$(cd "$dir" && pwd -P)
case $version in 6.1) suite=bookworm ;; 6.12) suite=trixie ;; *) echo "kernel.sh: $version: 6.1 or 6.12" >&2; exit 2 ;; esac
. "$here/apt.sh"

# bookworm's own QEMU 7.2 makes guests panic now and then without KVM: trixie's, with trixie's libraries.
if [ ! -d "$dir/qemu" ]; then
    "$here/../need.sh" mmdebstrap
    mmdebstrap --quiet --variant=extract --aptopt='APT::Install-Recommends "0"' --include=qemu-system-x86,libc6 \
        trixie "$dir/qemu.new" "deb [signed-by=$keyring] $mirror trixie main"
    mv "$dir/qemu.new" "$dir/qemu"
fi
# The two disks come in any order (the kernel looks at both at once) and are told apart by their labels, which the kernel
# itself cannot read: a first root of one program does. What it needs is built into these kernels.
"$here/../need.sh" busybox-static
first=$(mktemp -d)
trap 'rm -rf "$first"' EXIT
mkdir "$first/bin" "$first/dev" "$first/proc" "$first/disk"
cp "$(command -v busybox)" "$first/bin/busybox"
install -m 755 "$here/guest/first-root" "$first/init"
(cd "$first" && find . | busybox cpio -o -H newc 2>/dev/null) > "$dir/first-root.new"
mv "$dir/first-root.new" "$dir/first-root"

if [ ! -d "$dir/modules-$version" ]; then
    apt_of "$suite" apt-get update
    package=$(apt_of "$suite" apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: //p' | head -n 1)
    unpack "$suite" "$package" "$dir/unpacked"
    cp "$dir/unpacked"/boot/vmlinuz-"$version"* "$dir/vmlinuz-$version"
    # A module that a test has use for: without BFQ there is no io.bfq.weight.
    rm -rf "$dir/modules.new"
    mkdir "$dir/modules.new"
    "$here/../need.sh" xz-utils
    find "$dir/unpacked" -name 'bfq.ko*' -exec cp {} "$dir/modules.new" \;
    find "$dir/modules.new" -name '*.xz' -exec xz -d {} +
    mv "$dir/modules.new" "$dir/modules-$version"
    rm -rf "$dir/unpacked"
fi
