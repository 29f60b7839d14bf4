#!/bin/sh
# systemd-v1.sh COMMAND...   runs COMMAND as root where this machine's systemd is pid 1, on cgroup v1, in a throw-away view.
#
# Distributions of before 2021 boot systemd on cgroup v1, and no guest of ours does. A container's systemd is as good: it
# knows nothing of the machine but its cgroups, and none of the machine's units.
#
#   LEVEL=debug        what systemd says, in /tmp/systemd.log
#   CGROUP_VIEW=host   cgroup2 beside v1, as systemd's hybrid mode has it (default); v1: v1 alone
set -eu
here=$(cd "$(dirname "$0")" && pwd -P)
fail() { echo "systemd-v1.sh: $*" >&2; exit 125; }

if [ -z "${RT_CONTAINED:-}" ]; then
    "$here/need.sh" systemd
    exec "$here/contained.sh" "$0" "$@"
fi
grep -q ' - cgroup ' /proc/self/mountinfo || fail "no cgroup v1 here"
points=$(sed -n 's/^[^ ]* [^ ]* [^ ]* [^ ]* \(\/sys\/fs\/cgroup\/[^ ]*\) .* - cgroup2\{0,1\} .*/\1/p' /proc/self/mountinfo)

# --- pid 1: cgroups whose roots are its own, the parts of /proc that contained.sh guards, and no unit but one -------------
if [ "${1:-}" = --boot ]; then
    table=$(sed -n 's/^[^ ]* [^ ]* [^ ]* [^ ]* \(\/sys\/fs\/cgroup\/[^ ]*\) .* - \(cgroup2\{0,1\}\) [^ ]* [^,]*,\{0,1\}\(.*\)/\2 \1 \3/p' /proc/self/mountinfo)
    echo "$table" | while read -r kind point options; do
        umount "$point"
        mount -t "$kind" ${options:+-o "$options"} "$kind" "$point"
    done
    guarded=$(cut -d' ' -f5 /proc/self/mountinfo | grep '^/proc/')
    mount -t proc proc /proc
    for point in $guarded; do mount --bind "$point" "$point" && mount -o remount,bind,ro "$point"; done
    mkdir -p /run/units /run/systemd
    # Of controllers that no unit needs, systemd removes all empty cgroups, on v1, others' too: it is as on a usual machine,
    # where some unit needs each.
    printf '[Unit]\nWants=busy.service\nAfter=busy.service\n' > /run/units/default.target
    printf '%s\n' '[Unit]' 'DefaultDependencies=no' '[Service]' 'ExecStart=/usr/bin/sleep infinity' 'DevicePolicy=closed' 'IOAccounting=yes' \
        'CPUAccounting=yes' > /run/units/busy.service
    legacy=
    [ "${CGROUP_VIEW:-}" != v1 ] || legacy='systemd.unified_cgroup_hierarchy=no systemd.legacy_systemd_cgroup_controller=yes'
    exec env -i PATH="$PATH" container=rt SYSTEMD_PROC_CMDLINE="$legacy" SYSTEMD_LOG_LEVEL="${LEVEL:-info}" \
        SYSTEMD_UNIT_PATH=/run/systemd/system.control:/run/systemd/transient:/run/units \
        SYSTEMD_GENERATOR_PATH=/nonexistent SYSTEMD_ENVIRONMENT_GENERATOR_PATH=/nonexistent \
        /lib/systemd/systemd --system --log-target=console --show-status=false
fi

# A new cgroup namespace takes our cgroups for its roots.
for point in $points; do
    mkdir "$point/systemd"
    for file in cpuset.cpus cpuset.mems; do
        [ ! -e "$point/systemd/$file" ] || cat "$point/$file" > "$point/systemd/$file"
    done
done
(
    for point in $points; do sh -c "echo \$PPID > $point/systemd/cgroup.procs"; done
    exec unshare --cgroup --mount --pid --fork --kill-child "$0" --boot
) > /tmp/systemd.log 2>&1 < /dev/null &
unshared=$!
for _ in $(seq 100); do
    [ ! -S /run/systemd/private ] || break
    sleep 0.1
done
[ -S /run/systemd/private ] || { cat /tmp/systemd.log >&2; fail "systemd did not start"; }
# The one who waits for pid 1 is in the root of its cgroups, which must hold no process to hand controllers on.
for point in $points; do echo "$unshared" > "$point/runner/cgroup.procs"; done
pid1=$(cat "/proc/$unshared/task/$unshared/children")
# Into those roots: systemd keeps the command in some hierarchies alone.
for point in $points; do [ -e "$point/cgroup.controllers" ] || echo 0 > "$point/systemd/cgroup.procs"; done
code=0
nsenter --target ${pid1% } --mount --pid --cgroup --wd="$PWD" systemd-run --scope --quiet "$@" || code=$?
kill -KILL ${pid1% }
wait "$unshared" 2>/dev/null || true
exit $code
