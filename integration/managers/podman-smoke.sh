#!/bin/sh
# podman over rt: the first real manager. Everything podman keeps is on tmpfs inside integration/contained.sh.
# RUNTIME=crun shows what podman makes of another runtime.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
runtime=${RUNTIME:-$here/target/release/rt}
case $runtime in */*) ;; *) runtime=$(command -v "$runtime") ;; esac
case $runtime in /*) ;; *) runtime=$here/$runtime ;; esac
if [ -z "${RT_CONTAINED:-}" ]; then
    "$here/spec-examples/rootfs.sh"
    sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
    exec $sudo env RUNTIME="$runtime" CGROUP_VIEW="${CGROUP_VIEW:-v1}" "$here/integration/contained.sh" "$0"
fi

# --- podman's own files -----------------------------------------------------------------------------------------------
mount -t tmpfs etc /etc/containers
mount -t tmpfs cache /var/cache
mount -t tmpfs lib /var/lib
cat > /etc/containers/containers.conf <<CONF
[containers]
default_ulimits = ["nofile=$(ulimit -Hn):$(ulimit -Hn)", "nproc=20000:20000"]
seccomp_profile = "unconfined"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime_supports_json = ["crun", "runc", "rt"]
runtime_supports_nocgroup = ["crun", "${runtime##*/}"]
[engine.runtimes]
${runtime##*/} = ["$runtime"]
CONF
printf '[storage]\ndriver = "vfs"\nrunroot = "/run/containers/storage"\ngraphroot = "/run/containers/graph"\n' > /etc/containers/storage.conf
echo '{ "default": [{ "type": "insecureAcceptAnything" }] }' > /etc/containers/policy.json
: > /etc/containers/registries.conf
mount --make-rshared /
export XDG_RUNTIME_DIR=/run/user/0
cd /

passed=0 failed=0
podman() { timeout 60 /usr/bin/podman --runtime "$runtime" "$@"; }
run() { podman run --security-opt seccomp=unconfined --network none "$@"; }

# expect WHAT CODE OUTPUT COMMAND...   OUTPUT is a shell pattern
expect() {
    what=$1 code=$2 output=$3; shift 3
    got=0; printed=$("$@" 2>/tmp/stderr) || got=$?
    case $got:$printed in
        $code:$output) passed=$((passed + 1)); echo "ok    $what" ;;
        *) failed=$((failed + 1)); echo "FAIL  $what: exit code $got, printed '$printed'"; cat /tmp/stderr ;;
    esac
}

tar -C "$here/spec-examples/rootfs" -cf /tmp/image.tar .
expect 'import an image' 0 '*' podman import --quiet /tmp/image.tar localhost/box

expect 'run true' 0 '' run --rm localhost/box true
expect 'an exit code' 42 '' run --rm localhost/box sh -c 'exit 42'
expect 'a signal' 143 '' run --rm localhost/box sh -c 'sh -c "kill -15 \$\$"; exit $?'
expect 'a program that is not there' 127 '' run --rm localhost/box nosuch
expect 'a program that may not be run' 126 '' run --rm localhost/box /etc/passwd
expect 'standard output' 0 'printed' run --rm localhost/box echo printed
expect 'standard input' 0 'typed' sh -c "echo typed | /usr/bin/podman --runtime $runtime run -i --rm --security-opt seccomp=unconfined --network none localhost/box cat"
expect 'a terminal' 0 '/dev/pts/0*' run --rm -t localhost/box tty
expect 'the environment' 0 'value' run --rm -e KEY=value localhost/box sh -c 'echo $KEY'
expect 'the working directory' 0 '/tmp' run --rm -w /tmp localhost/box pwd
expect 'the user' 0 '1000 1000' run --rm -u 1000:1000 localhost/box sh -c 'echo $(id -u) $(id -g)'
expect 'the host name' 0 'named' run --rm --hostname named localhost/box hostname
expect 'a memory limit' 0 '33554432' run --rm --memory 32m localhost/box cat /sys/fs/cgroup/memory/memory.limit_in_bytes
expect 'a limit of processes' 0 '20' run --rm --pids-limit 20 localhost/box cat /sys/fs/cgroup/pids/pids.max
expect 'a read-only root' 1 '' run --rm --read-only localhost/box sh -c ': > /etc/new'
mkdir -p /tmp/shared; echo shared > /tmp/shared/file
expect 'a volume' 0 'shared' run --rm -v /tmp/shared:/mnt:ro localhost/box cat /mnt/file
expect 'a tmpfs' 0 'tmpfs' run --rm --tmpfs /mnt localhost/box stat -f -c %T /mnt
expect 'capabilities' 0 '*0000000000000000' run --rm --cap-drop all -u 1000 localhost/box grep CapEff /proc/self/status
expect 'no_new_privs' 0 '*1' run --rm --security-opt no-new-privileges localhost/box grep NoNewPrivs /proc/self/status
expect 'an ulimit' 0 '77' run --rm --ulimit nofile=77:77 --ulimit nproc=999:999 localhost/box sh -c 'ulimit -n'
expect 'a user namespace' 0 '*100000*' run --rm --uidmap 0:100000:1000 --gidmap 0:100000:1000 localhost/box cat /proc/self/uid_map
expect 'privileged' 0 'yes' run --rm --privileged localhost/box echo yes
expect 'the host pid namespace' 0 '' run --rm --pid host localhost/box sh -c 'test $$ != 1'
if [ -e /usr/share/containers/seccomp.json ]; then
    profile=seccomp=/usr/share/containers/seccomp.json
    expect "podman's own seccomp profile" 0 'Seccomp:?2' podman run --rm --network none --security-opt $profile localhost/box grep Seccomp: /proc/self/status
fi
# podman knows what a runtime can do by the name it is registered under, not by its path
expect 'no cgroups' 0 'yes' podman --runtime "${runtime##*/}" run --rm --cgroups disabled --network none localhost/box echo yes

expect 'run detached' 0 '*' run -d --name life localhost/box sh -c 'echo started; trap "echo stopping; exit 5" TERM; while :; do sleep 0.05; done'
sleep 0.3
expect 'logs' 0 'started' podman logs life
expect 'ps' 0 'life Up*' podman ps --format '{{.Names}} {{.Status}}'
expect 'exec' 0 'inside' podman exec life echo inside
expect 'the exit code of exec' 7 '' podman exec life sh -c 'exit 7'
expect 'exec of nothing' 127 '' podman exec life nosuch
expect 'exec on a terminal' 0 '/dev/pts/*' podman exec -t life tty
expect 'exec as a user' 0 '1000' podman exec -u 1000 life id -u
expect 'exec, detached' 0 '*' podman exec -d life touch /tmp/made
sleep 0.3
expect 'what exec made' 0 '' podman exec life test -e /tmp/made
expect 'top' 0 '*sh*' podman top life
expect 'pause' 0 '*' podman pause life
expect 'the state paused' 0 'paused' podman inspect --format '{{.State.Status}}' life
expect 'unpause' 0 '*' podman unpause life
expect 'stop' 0 '*' podman stop -t 10 life
expect 'logs after stop' 0 'started?stopping' podman logs life
expect 'the exit code after stop' 0 '5' podman inspect --format '{{.State.ExitCode}}' life
expect 'start again' 0 '*' podman start life
expect 'kill' 0 '*' podman kill -s KILL life
expect 'wait' 0 '137' podman wait life
expect 'restart' 0 '*' podman restart -t 1 life
expect 'rm --force' 0 '*' podman rm -f -t 0 life
expect 'create, then start attached' 0 '*' podman create --name later --network none --security-opt seccomp=unconfined localhost/box echo later
expect 'start --attach' 0 'later' podman start --attach later
expect 'rm' 0 '*' podman rm later
expect 'nothing is left of containers' 0 '' podman ps -aq
left=$(find /run/rt /run/crun /run/runc -mindepth 1 -maxdepth 1 ! -name '.*' 2>/dev/null || true)
expect 'nothing is left of state' 0 '' echo "$left"

echo "podman: $passed passed, $failed failed (${runtime##*/})"
[ $failed = 0 ]
