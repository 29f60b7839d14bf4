#!/bin/sh
# test.sh [MODE...]   the end-to-end tests in the guest, three modes at a time; by default all but `engines`, and the kernels
#                     `6.1` and `6.12`, which are emulated.
#   RUNTIME=crun    another runtime, the guest's own one, than target/release/rt
#   TEST='NAME...'  a part of them
#   KEEP_LOGS=DIR   where each mode's whole output goes; target/vm/logs by default
set -eu
here=$(cd "$(dirname "$0")" && pwd -P)
project=$(cd "$here/../.." && pwd -P)
cd "$project"
dir=${RT_VM:-$project/target/vm}
export RT_VM="$dir"
logs=${KEEP_LOGS:-$dir/logs}
runtime=${RUNTIME:-target/release/rt}
case ${runtime##*/} in crun|runc) in_guest=${runtime##*/} runtime=target/release/rt ;; *) in_guest=  ;; esac
# test.sh --one MODE   its whole output goes to a log; only a failure is shown
if [ "${1:-}" = --one ]; then
    mode=$2 flags= lsm=
    case $mode in
        systemd|rootless|selinux*|managers|engines) flags=--systemd ;;
        6.*) flags="--kernel $mode" ;;
    esac
    case $mode in
        selinux) lsm="lsm=landlock,yama,selinux selinux=1 enforcing=0" ;;
        selinux-enforcing) lsm="lsm=landlock,yama,selinux selinux=1 enforcing=1" ;;
    esac
    # Four managers, one after the other; an emulated machine.
    case $mode in engines|6.*) : "${TIMEOUT:=1800}" ;; esac
    code=0 tests=${TEST:-}
    # The whole suite knows nothing of labels: its own files and descriptors are no container's.
    case $mode in
        selinux*) tests=${TEST:-security::selinux security::apparmor} ;;
        # What depends on the kernel's version.
        6.*) tests=${TEST:-robustness::kernels mounts::idmap security::actions rootless::inside cgroups::update} ;;
    esac
    "$here/boot.sh" $flags --append "$lsm" --files "$RT_VM_FILES" --log "$logs/$mode.kernel" --timeout "${TIMEOUT:-900}" \
        "RUNTIME=$in_guest integration/vm/guest/suite.sh $mode $tests" > "$logs/$mode.log" 2>&1 || code=$?
    [ $code = 0 ] || cat "$logs/$mode.log"
    exit $code
fi
begun=$(date +%s)
# The long ones first. Not `engines`: eight to fifteen minutes of one processor for what `make test-managers` does on cgroup v1.
[ $# -gt 0 ] || set -- systemd rootless v2 rootless-bare managers selinux selinux-enforcing

sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
$sudo "$here/setup.sh" "$dir"
for mode in "$@"; do case $mode in 6.*) $sudo "$here/kernel.sh" "$mode" "$dir" ;; esac; done
build=$(cargo test --quiet --no-run --test integration --message-format=json)
tests=$(printf '%s\n' "$build" | sed -n 's/.*"executable":"\([^"]*\/integration-[^"]*\)".*/\1/p' | tail -n 1)
mkdir -p "$logs"
RT_VM_FILES=$(mktemp "$logs/files.XXXXXX")
export RT_VM_FILES
trap 'rm -f "$RT_VM_FILES"' EXIT
"$here/files.sh" "$runtime" "$tests" "$RT_VM_FILES"

# A guest has one CPU, and waits for a third of its time.
code=0
printf '%s\n' "$@" | xargs -P "$(($(nproc) * 3 / 2))" -I {} "$here/test.sh" --one {} || code=1
echo "--- in the guest:"
for mode in "$@"; do grep "^vm $mode:" "$logs/$mode.log" || echo "vm $mode: see $logs/$mode.log"; done | tee "$logs/sums"
awk -v seconds=$(($(date +%s) - begun)) '/ passed, / { passed += $3; failed += $5; skipped += $7 }
    END { printf "vm: %d passed, %d failed, %d skipped, in %d s\n", passed, failed, skipped, seconds }' "$logs/sums"
exit $code
