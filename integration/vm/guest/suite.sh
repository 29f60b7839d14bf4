#!/bin/sh
# suite.sh MODE [TEST...]   the end-to-end tests, in the guest; its last line is a summary.
#
#   v2             as root, cgroups by cgroupfs
#   systemd        as root, cgroups by systemd            (boot.sh --systemd)
#   rootless       as user 1000, in a delegated cgroup    (boot.sh --systemd)
#   rootless-bare  as user 1000, with no cgroup to write in
#   managers       the systemd driver by hand, podman over it, a whole system as a container   (boot.sh --systemd)
#   engines        the scripts of integration/managers: podman, buildah, Docker, containerd and its pods   (boot.sh --systemd)
#   selinux, selinux-enforcing  as root, under Debian's policy   (boot.sh --systemd --append ...)
#   6.1, 6.12      as v2, by an emulated kernel            (boot.sh --kernel ...)
# RUNTIME=crun or runc tests the guest's own ones instead of ours.
set -u
umask 022
mode=$1; shift
here=$(cd "$(dirname "$0")/../../.." && pwd -P)
RUNTIME=${RUNTIME:-$here/bin/rt}
case $RUNTIME in */*) ;; *) RUNTIME=$(command -v "$RUNTIME") ;; esac
export RUNTIME RT_CONTAINED=guest RT_SKIP_LOG=/tmp/skipped RT_BUSYBOX=/usr/bin/busybox TMPDIR=/tmp
case $mode in delegated|bare) ;; *) : > $RT_SKIP_LOG; chmod 666 $RT_SKIP_LOG ;; esac

if [ "$mode" = engines ]; then
    "$here/integration/vm/guest/managers.sh" "$RUNTIME" "$@" > /tmp/result 2>&1
    code=$?
    cat /tmp/result
    sum=$(sed -n 's/^[a-z]*: \([0-9]*\) passed, \([0-9]*\) failed\(, \([0-9]*\) skipped\)\{0,1\}.*/\1 \2 \4/p' /tmp/result |
        awk '{ passed += $1; failed += $2; skipped += $3 } END { print passed + 0 " passed, " failed + 0 " failed, " skipped + 0 " skipped" }')
    echo "vm $mode: $sum ($(basename "$RUNTIME"), $(cut -d. -f1 /proc/uptime) s)"
    exit $code
fi

if [ "$mode" = managers ]; then
    code=0
    for chapter in ${*:-systemd podman system}; do
        sh "$here/integration/vm/guest/$chapter.sh" "$RUNTIME" > "/tmp/$chapter" 2>&1 || code=1
        cat "/tmp/$chapter"
    done
    sum=$(cat /tmp/systemd /tmp/podman /tmp/system 2>/dev/null |
        awk '/: [0-9]+ passed, [0-9]+ failed$/ { passed += $(NF - 3); failed += $(NF - 1) } END { print passed + 0 " passed, " failed + 0 " failed" }')
    echo "vm $mode: $sum ($(basename "$RUNTIME"), $(cut -d. -f1 /proc/uptime) s)"
    exit $code
fi

# tmpfs can map ids since Linux 6.3; what a guest has on its disk is thrown away as well.
case $(uname -r) in 5.*|6.[012].*) TMPDIR=/var/tmp ;; esac
case $mode in
    v2) ;;
    # systemd mounts /tmp without devices.
    systemd) export RT_MODE=systemd; mount -o remount,dev,suid /tmp ;;
    # Profiles that the user's containers can have, and he cannot load: those that integration/security/apparmor.rs names.
    rootless*)
        export RT_MODE=rootless RT_APPARMOR=
        for name in program privileges config exec proc other; do
            rules="file, capability, network, mount, umount, pivot_root, signal, ptrace, unix, userns, deny /denied w,"
            printf 'profile rt-test-%s flags=(attach_disconnected,mediate_deleted) { %s }\n' $name "$rules" |
                apparmor_parser --replace --skip-cache 2>/dev/null && RT_APPARMOR="$RT_APPARMOR $name"
        done ;;
    # The policy knows a runtime by the label of its file, and lets it handle files of containers, not just any.
    selinux*)
        TMPDIR=/var/lib/rt-tests
        mkdir -m 1777 $TMPDIR
        chcon -t container_file_t $TMPDIR
        cp "$RUNTIME" /usr/local/bin/
        RUNTIME=/usr/local/bin/${RUNTIME##*/}
        chcon -t container_engine_exec_t "$RUNTIME" ;;
esac

# as_user COMMAND...   with the environment that a login gives
as_user() {
    runuser -u tester -- env HOME=/home/tester XDG_RUNTIME_DIR=/run/user/1000 \
        DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus "$@"
}
# A runtime that hangs beyond every patience is to be named before the guest's time is over.
integration() { timeout --kill-after=5 780 "$here/bin/integration" "$@"; }
tests() {
    # Reloads of systemd disturb others: they are made alone, or when asked for by name.
    case "$*" in ''|*units*|*outlive*) ;; *) set -- "$@" --skip limits_outlive ;; esac
    [ $# = 0 ] || { integration --test-threads 4 "$@"; return; }
    # Races that spin, and crowds: alone, or everything else runs out of time.
    alone=0
    integration --test-threads 1 security::races sixty_four_parallel limits_outlive || alone=$?
    integration --test-threads 4 --skip security::races --skip sixty_four_parallel --skip limits_outlive && return $alone
}
run() {
    case $mode in
        v2|systemd|selinux*|6.*) tests "$@" ;;
        rootless-bare) as_user sh "$here/integration/vm/guest/suite.sh" bare "$@" ;;
        # A service of the user's own systemd: its cgroup is his. The tests go into a leaf of it, and hand it on.
        rootless) as_user systemd-run --user --quiet --pipe --wait --property=Delegate=yes \
            --setenv=RUNTIME --setenv=RT_CONTAINED --setenv=RT_SKIP_LOG --setenv=RT_BUSYBOX --setenv=RT_MODE --setenv=RT_APPARMOR --setenv=TMPDIR \
            sh "$here/integration/vm/guest/suite.sh" delegated "$@" ;;
    esac
}

# Again, as the user:
[ "$mode" != bare ] || { cd /tmp && tests "$@"; exit; }
if [ "$mode" = delegated ]; then
    RT_CGROUP=$(sed -n s/^0:://p /proc/self/cgroup); export RT_CGROUP
    mkdir "/sys/fs/cgroup$RT_CGROUP/tests"
    echo 0 > "/sys/fs/cgroup$RT_CGROUP/tests/cgroup.procs"
    for controller in $(cat "/sys/fs/cgroup$RT_CGROUP/cgroup.controllers"); do
        echo "+$controller" > "/sys/fs/cgroup$RT_CGROUP/cgroup.subtree_control"
    done
    cd /tmp && tests "$@"
    exit
fi

run "$@" > /tmp/result 2>&1
code=$?
grep -v '^test .* \.\.\. ok$' /tmp/result
# A skipped test passes for libtest: it is no proof, and counts apart.
count() { sed -n "s/^test result: .*[ .]\([0-9]*\) $1;.*/\1/p" /tmp/result | awk '{ sum += $1 } END { print sum }'; }
passed=$(count passed) failed=$(count failed) skipped=$(sort -u $RT_SKIP_LOG | wc -l)
sed 's/^[^ ]*: //' $RT_SKIP_LOG | sort | uniq -c | sort -rn | sed 's/^/skipped/'
if [ "$mode" = v2 ] && [ $# = 0 ] && [ "${RUNTIME##*/}" = rt ]; then sh "$here/integration/vm/smoke.sh" "$RUNTIME" || code=1; fi
[ $code != 124 ] || echo "vm $mode: the tests did not end: $(grep -c '^test .* \.\.\. ok$' /tmp/result) passed, $(grep -c '^test .* FAILED$' /tmp/result) failed until then"
[ -n "$passed" ] && [ $code != 124 ] || exit 1
echo "vm $mode: $((passed - skipped)) passed, $failed failed, $skipped skipped ($(basename "$RUNTIME"), $(cut -d. -f1 /proc/uptime) s)"
exit $code
