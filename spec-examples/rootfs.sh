#!/bin/sh
# Makes the root file system that all examples share: Debian's busybox-static, its applets as hard links.
# Hard links, because masking /bin/ls must not mask the whole of busybox. `rootfs.sh [DIR]`
set -eu
dir=${1:-$(dirname "$0")/rootfs}
busybox=${RT_BUSYBOX:-/bin/busybox}
[ -x "$dir/bin/true" ] && exit 0
[ -x "$busybox" ] || { echo "rootfs.sh: $busybox: not found (apt-get install busybox-static)" >&2; exit 1; }

new=$dir.$$
trap 'rm -rf "$new"' EXIT
umask 022
mkdir -p "$new"
for name in bin data dev etc home mnt proc root run sys tmp var; do mkdir "$new/$name"; done
touch "$new/program.sh" "$new/log"   # where examples bind files to: the root file system is read-only for most
chmod 1777 "$new/tmp"
cp "$busybox" "$new/bin/busybox"
chmod 755 "$new/bin/busybox"
"$new/bin/busybox" --install "$new/bin"
echo 'root:x:0:0:root:/root:/bin/sh
guest:x:1000:1000:guest:/home:/bin/sh' > "$new/etc/passwd"
echo 'root:x:0:
guest:x:1000:' > "$new/etc/group"
mv -T "$new" "$dir" 2>/dev/null || [ -x "$dir/bin/true" ]
