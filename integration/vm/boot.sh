#!/bin/sh
# boot.sh [FLAGS] COMMAND   boots the guest of setup.sh, runs COMMAND in it as root, and ends with its exit code.
#
#   --systemd           with systemd as pid 1 (default: guest/init)
#   --kernel VERSION    uml (default: User-Mode Linux, no emulation), or 6.1 or 6.12 under QEMU
#   --append ARGUMENTS  more of the kernel's command line
#   --memory SIZE       1500M by default
#   --timeout SECONDS   the hard end of it all, 600 by default; the exit code is 124 then
#   --files IMAGE       the project's files (files.sh makes it); they are where they are here, read-only
#   --log FILE          the kernel's and systemd's own messages
#
# Each guest begins with the same disk: what it writes is thrown away. Several can run at once.
set -eu
here=$(cd "$(dirname "$0")" && pwd -P)
project=$(cd "$here/../.." && pwd -P)
dir=${RT_VM:-$project/target/vm}
init=/usr/local/sbin/init kernel=uml append= memory=1500M timeout=600 files= log=
while [ $# -gt 0 ]; do
    case $1 in
        --systemd) init=/lib/systemd/systemd; shift ;;
        --kernel) kernel=$2; shift 2 ;;
        --append) append=$2; shift 2 ;;
        --memory) memory=$2; shift 2 ;;
        --timeout) timeout=$2; shift 2 ;;
        --files) files=$2; shift 2 ;;
        --log) log=$2; shift 2 ;;
        -*) echo "boot.sh: $1: no such flag" >&2; exit 2 ;;
        *) break ;;
    esac
done
[ $# = 1 ] || { sed -n '2,12s/^# \{0,1\}//p' "$0" >&2; exit 2; }

scratch=$(mktemp -d "$([ -w /dev/shm ] && echo /dev/shm || echo /tmp)/rt-vm.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM
log=${log:-$scratch/log}
: "${files:=$dir/files.img}"
common="init=$init rw quiet loglevel=1 panic=-1 systemd.show_status=0 systemd.log_target=kmsg $append rt.guest=1
    rt.project=$project rt.command=$(printf '%s' "$1" | base64 -w 0)"

# The command's output, less its last line, which is its exit code.
show() { sed -u '/^vm: exit [0-9]*\r*$/{s/[^0-9]//gw '"$scratch/code"'
d}'; }

ended=0
case $kernel in
    uml)
        exec 3>&1
        # Without address space randomisation: it would run itself again. TMPDIR holds the guest's memory.
        { TMPDIR=$scratch timeout --kill-after=5 "$timeout" setarch --addr-no-randomize "$dir/linux" mem="$memory" \
            umid=guest uml_dir="$scratch" seccomp=on ubd0="$scratch/changes,$dir/rootfs.img" ubd1r="$files" \
            root=/dev/ubda rootfstype=ext4 con=null con0=null,fd:1 ssl=null ssl0=null,fd:4 \
            rt.disk=/dev/ubdb rt.line=ttyS0 lsm=landlock,yama,apparmor $common 4>&1 > "$log" 2>&1 < /dev/null \
            || echo $? > "$scratch/ended"; } | show ;;
    *)
        [ -f "$dir/vmlinuz-$kernel" ] && [ -f "$dir/first-root" ] || { echo "boot.sh: no kernel $kernel: integration/vm/kernel.sh" >&2; exit 2; }
        qemu=$dir/qemu
        # Emulation, as KVM is often not to be had; with what a guest of seconds needs.
        { timeout --kill-after=5 "$timeout" "$qemu/usr/lib64/ld-linux-x86-64.so.2" --library-path "$qemu/usr/lib/x86_64-linux-gnu" \
            "$qemu/usr/bin/qemu-system-x86_64" -L "$qemu/usr/share/qemu" -L "$qemu/usr/share/seabios" \
            -accel tcg,thread=multi,tb-size=512 -machine q35,usb=off,smbus=off -cpu max,-la57,-svm -smp 2 -m "${memory%M}" \
            -nodefaults -no-user-config -display none -no-reboot -serial stdio -serial file:"$log" -device virtio-rng-pci \
            -drive file="$dir/rootfs.img",file.locking=off,format=raw,if=none,id=root,snapshot=on,cache=unsafe -device nvme,serial=1,drive=root \
            -drive file="$files",file.locking=off,format=raw,if=none,id=files,readonly=on -device nvme,serial=2,drive=files \
            -kernel "$dir/vmlinuz-$kernel" -initrd "$dir/first-root" \
            -append "console=ttyS1 mitigations=off random.trust_cpu=on nokaslr
                no_timer_check tsc=reliable rt.disk=LABEL=project rt.line=ttyS0 lsm=landlock,yama,apparmor $common" \
            < /dev/null || echo $? > "$scratch/ended"; } | show ;;
esac
[ ! -s "$scratch/ended" ] || ended=$(cat "$scratch/ended")
[ ! -s "$scratch/code" ] || exit "$(cat "$scratch/code")"
case $ended in 124|137) echo "boot.sh: not finished after $timeout seconds" >&2; exit 124 ;; esac
echo "boot.sh: the guest ended without an exit code:" >&2
tail -n 20 "$log" >&2
exit 125
