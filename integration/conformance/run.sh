#!/bin/sh
# run.sh [VIEW...]   the validation programs of opencontainers/runtime-tools; in all views by default.
#   v1        here, in a throw-away view of the machine that shows nothing but cgroup v1
#   v2        in the guest of integration/vm, whose kernel has AppArmor
#   selinux   the one program that wants SELinux, in a guest that has it
#   RUNTIME_TOOLS=DIR   a checkout that was built: make runtimetest validation-executables
#   RUNTIME=crun        another runtime than target/release/rt; in the guest, the guest's own one
set -eu
cd "$(dirname "$0")/../.."
: "${RUNTIME_TOOLS:?a checkout of opencontainers/runtime-tools that was built, see docs/conformance.md}"
tools=$(cd "$RUNTIME_TOOLS" && pwd -P)
runtime=${RUNTIME:-target/release/rt}

on_v1() {
    # linux_cgroups_hugetlb and _network want controllers that few machines have on v1, and a second network device that
    # the machine has too.
    link=$(find /sys/class/net/ -mindepth 1 ! -name lo -printf '%f\n' | sort | head -n 1)
    RUNTIME="$runtime" RUNTIME_TOOLS="$tools" LINK="$link" CGROUP_VIEW=v1 CGROUP_MORE="hugetlb net_cls,net_prio" \
        integration/run.sh --ignored --nocapture conformance::
}

# in_guest FLAGS COMMAND-LINE NAMES   boots a guest for the programs NAMES, all when there are none
in_guest() {
    vm=${RT_VM:-$PWD/target/vm}
    sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo integration/vm/setup.sh "$vm"
    build=$(cargo test --quiet --no-run --test integration --message-format=json)
    tests=$(printf '%s\n' "$build" | sed -n 's/.*"executable":"\([^"]*\/integration-[^"]*\)".*/\1/p' | tail -n 1)
    case ${runtime##*/} in crun|runc) rt=target/release/rt tested=${runtime##*/} ;; *) rt=$runtime tested=rt ;; esac
    stage=$(mktemp -d)
    trap 'rm -rf "$stage"' EXIT
    mkdir "$stage/runtime-tools" "$stage/docs"
    (cd "$tools" && cp --parents runtimetest rootfs-*.tar.gz validation/*/*.t "$stage/runtime-tools")
    cp docs/conformance.md "$stage/docs"
    integration/vm/files.sh "$rt" "$tests" "$stage/image" "$stage/runtime-tools" "$stage/docs"
    RT_VM="$vm" integration/vm/boot.sh $1 --append "$2" --files "$stage/image" --timeout 1800 '
        export PATH="$PWD/bin:$PATH" RT_CONTAINED=guest TMPDIR=/tmp RUNTIME_TOOLS="$PWD/runtime-tools" CONFORMANCE="'"$3"'"
        RUNTIME=$(command -v "'"$tested"'"); export RUNTIME
        # The profile that linux_process_apparmor_profile names, allowing everything.
        echo "profile acme_secure_profile { file, capability, network, mount, remount, umount, pivot_root, ptrace, signal, unix, }" |
            apparmor_parser --add --skip-cache 2>/dev/null
        # The type in the label of linux_mount_label is of Fedora; the policy of Debian has it by another name.
        if [ -e /sys/fs/selinux/enforce ]; then
            printf "(typealias svirt_sandbox_file_t)\n(typealiasactual svirt_sandbox_file_t container_file_t)\n" > /tmp/fedora.cil
            semodule -i /tmp/fedora.cil 2>/dev/null
        fi
        bin/integration --ignored --nocapture conformance::'
    rm -rf "$stage"
}

[ $# -gt 0 ] || set -- v1 v2 selinux
code=0
for view in "$@"; do
    case $view in
        v1) on_v1 || code=1 ;;
        v2) in_guest "" "" "" || code=1 ;;
        selinux) in_guest --systemd "lsm=landlock,yama,selinux selinux=1 enforcing=0" linux_mount_label || code=1 ;;
        *) echo "run.sh: $view: v1, v2 or selinux" >&2; exit 2 ;;
    esac
done
exit $code
