#!/bin/sh
# containerd over rt: `ctr` as a person drives it, then pods over the CRI as kubelet does (cri.py).
set -eu
. "$(dirname "$0")/checks.sh"
. "$here/integration/managers/daemons.sh"
start_containerd "$runtime"
ctr() { timeout -k 1 60 ctr "$@"; }
run() { ctr run --runc-binary "$runtime" "$@"; }
task() { ctr task ls | awk -v name="$1" '$1 == name { print $3 }'; }
at_terminal() { timeout -k 1 60 script -qec "$1" /dev/null | tr -d '\r'; }
# `late` is in it: ctr loses what a program prints that begins before ctr has opened its pipes, and now and then what one
# prints that ends at once (in the guest 4 of 180 with crun and 4 of 240 with rt; of those that waited after it, none of 240).
box=localhost/box:latest
cgroup=/sys/fs/cgroup
# limits_of NAME   memory, CPU and processes of a container
limits_of() {
    if [ -e $cgroup/cgroup.controllers ]; then
        (cd "$cgroup/default/$1" && cat memory.max cpu.max pids.max)
    else
        (cd $cgroup && cat "memory/default/$1/memory.limit_in_bytes" "cpu/default/$1/cpu.cfs_quota_us" "pids/default/$1/pids.max")
    fi
}

expect 'import an image' 0 '*' ctr images import "$(archive box '["sh"]')"
expect 'run' 0 'hello' run --rm $box c1 late echo hello
if [ $failed != 0 ]; then   # no check of all that follow could pass
    cat /tmp/stderr
    sum
    exit 1
fi
expect 'an exit code' 42 '' run --rm $box c1 sh -c 'exit 42'
expect_error 'a program that is not there' 1 '*executable file not found in $PATH*' run --rm $box c1 nosuch
expect 'nothing is left of it' 0 '' ctr container ls -q
expect 'standard input' 0 'typed' sh -c "echo typed | timeout -k 1 20 ctr run --rm --runc-binary $runtime $box c1 late head -n 1"
expect 'a terminal' 0 '*/dev/pts/0*' at_terminal "ctr run --rm -t --runc-binary $runtime $box c1 tty"
expect 'the environment and the directory' 0 'b /tmp' run --rm --env a=b --cwd /tmp $box c1 late sh -c 'echo $a $(pwd)'
expect 'a mount' 0 'yes' sh -c "mkdir -p /tmp/shared; timeout -k 1 20 ctr run --rm --runc-binary $runtime --mount type=bind,src=/tmp/shared,dst=/mnt,options=rbind:ro $box c1 late sh -c 'touch /mnt/x || echo yes' 2>/dev/null"
expect 'the network of the host' 0 'eth0' run --rm --net-host $box c1 late sh -c 'ls /sys/class/net | grep eth0'
expect 'limits' 0 '' run -d --memory-limit 33554432 --cpu-quota 50000 --cpu-period 100000 $box limited sleep 1000
expect 'limits, in the cgroup' 0 '33554432?50000*' limits_of limited
expect 'container rm of what runs' 1 '' ctr container rm limited
ctr task kill -s KILL limited; soon printed STOPPED task limited; ctr task delete limited > /dev/null 2>&1 || true; ctr container rm limited
expect 'seccomp' 0 'Seccomp:?2' run --rm --seccomp $box c1 late grep Seccomp: /proc/self/status
expect 'a capability more, a capability less' 0 'CapEff:?00000000a80435fa' run --rm --cap-add CAP_NET_ADMIN --cap-drop CAP_CHOWN $box c1 late grep CapEff /proc/self/status
expect 'a read-only root' 1 '' run --rm --read-only $box c1 touch /x
expect 'a device' 0 'crw*' run --rm --device /dev/fuse $box c1 late ls -l /dev/fuse

expect 'run, detached' 0 '' run -d $box life sh -c 'trap "exit 5" TERM; while :; do sleep 0.05; done'
expect 'task ls' 0 'RUNNING' task life
expect 'exec' 0 'inside' ctr task exec --exec-id e1 life late echo inside
expect 'the exit code of exec' 7 '' ctr task exec --exec-id e1 life sh -c 'exit 7'
expect 'exec at a terminal' 0 '*/dev/pts/*' at_terminal 'ctr task exec -t --exec-id e1 life tty'
expect_error 'exec of nothing' 1 '*executable file not found in $PATH*' ctr task exec --exec-id e1 life nosuch
expect 'ps' 0 '*PID*' ctr task ps life
expect 'pause' 0 '' ctr task pause life
expect 'the state paused' 0 'PAUSED' task life
expect 'resume' 0 '' ctr task resume life
expect 'the state running' 0 'RUNNING' task life
if unseen=$(unseen_hierarchy); then
    skip 'metrics' "containerd gives none where nobody mounts the hierarchy of $unseen"
else
    expect 'metrics' 0 '*memory*usage*' ctr task metrics life
fi
expect 'kill' 0 '' ctr task kill life
expect_soon 'it has stopped' 'STOPPED' task life
expect_error 'the exit code' 0 '*exit code 5*' ctr task delete life
expect_error 'kill when it is gone' 1 '*not found*' ctr task kill life
expect 'container rm' 0 '' ctr container rm life
if has update; then
    run -d --memory-limit 33554432 $box up sleep 1000
    printf '{"memory":{"limit":41943040},"pids":{"limit":33}}' > /tmp/resources
    expect 'update' 0 '' "$runtime" --root /run/containerd/runc/default update --resources /tmp/resources up
    expect 'what it has changed' 0 '41943040?*?33' limits_of up
    ctr task kill -s KILL up; soon printed STOPPED task up; ctr task delete up > /dev/null || true; ctr container rm up
else
    skip 'update' "$runtime_name has no update yet"
fi
if has checkpoint && criu check > /dev/null 2>&1; then
    run -d $box counter sh -c 'i=0; while :; do i=$((i + 1)); echo $i > /count; sleep 0.05; done'
    count() { ctr task exec --exec-id c1 "$1" late cat /count; }
    soon count counter
    expect 'checkpoint, left running' 0 '' ctr task checkpoint --image-path /tmp/checkpoint counter
    expect 'it still runs' 0 'RUNNING' task counter
    expect 'checkpoint to an image' 0 '*' ctr container checkpoint --task --rw --image counter localhost/counted:latest
    before=$(count counter)
    ctr task kill -s KILL counter; soon printed STOPPED task counter; ctr task delete counter > /dev/null 2>&1 || true; ctr container rm counter
    expect 'restore' 0 '*' ctr container restore --live --rw restored localhost/counted:latest
    expect 'it runs again' 0 'RUNNING' task restored
    sleep 0.5
    expect 'it counts on' 0 yes sh -c "[ $(count restored) -gt 5 ] && [ $(count restored) -lt $((before + 1000)) ] && echo yes"
    first=$(count restored)
    expect_soon 'and on' yes sh -c "[ \$(ctr task exec --exec-id c2 restored late cat /count) -gt $first ] && echo yes"
    ctr task kill -s KILL restored; soon printed STOPPED task restored; ctr task delete restored > /dev/null 2>&1 || true; ctr container rm restored
else
    skip 'checkpoint and restore' "$runtime_name has no checkpoint, or CRIU does not work here"
fi
expect 'a daemon that dies: run' 0 '' run -d $box survivor sleep 1000
kill -9 "$containerd_pid"; wait "$containerd_pid" 2> /dev/null || true
start_containerd "$runtime"
expect 'its task is still listed' 0 'RUNNING' task survivor
expect 'exec' 0 'inside' ctr task exec --exec-id e1 survivor late echo inside
expect 'kill' 0 '' ctr task kill -s KILL survivor
expect_soon 'it has stopped' 'STOPPED' task survivor
expect_error 'delete' 0 '*exit code 137*' ctr task delete survivor
expect 'container rm' 0 '' ctr container rm survivor
shim_of() { sed -n 's/^PPid:[^0-9]*//p' "/proc/$(ctr task ls | awk -v name="$1" '$1 == name { print $2 }')/status"; }
expect 'a shim that dies: run' 0 '' run -d $box orphan sleep 1000
kill -9 "$(shim_of orphan)"
expect_soon 'its task is gone' '' task orphan
expect_soon 'its cgroup is gone' '' sh -c "find $cgroup/ -path '*/default/orphan' -prune"
expect 'its container can be removed' 0 '' ctr container rm orphan
expect 'both at once: run' 0 '' run -d $box orphan sleep 1000
kill -9 "$containerd_pid" "$(shim_of orphan)"; wait "$containerd_pid" 2> /dev/null || true
start_containerd "$runtime"
expect_soon 'its task is gone, too' '' task orphan
expect_soon 'its cgroup is gone, too' '' sh -c "find $cgroup/ -path '*/default/orphan' -prune"
expect 'its container can be removed, too' 0 '' ctr container rm orphan
expect 'its name can be used again' 0 'again' run --rm $box orphan late echo again

# --- pods --------------------------------------------------------------------------------------------------------------
ctr -n k8s.io images import "$(archive box '["sh"]')" > /dev/null
ctr -n k8s.io images import "$(archive pause '["sleep", "100000"]')" > /dev/null
"$here/integration/managers/cri.py" "$runtime_name" $(has update && echo update) $(unseen_hierarchy > /dev/null && echo unseen) > /tmp/pods || true
cat /tmp/pods
passed=$((passed + $(grep -c '^ok ' /tmp/pods || true)))
failed=$((failed + $(grep -c '^FAIL ' /tmp/pods || true)))
skipped=$((skipped + $(grep -c '^skip ' /tmp/pods || true)))
grep -q '^done$' /tmp/pods || fail 'the tests of the CRI' 'did not end'
expect 'no task is left' 0 '' ctr -n k8s.io task ls -q
stop_containerd
sum
