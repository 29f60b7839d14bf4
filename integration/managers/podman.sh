#!/bin/sh
# podman over rt, as root and without privilege.
set -eu
. "$(dirname "$0")/checks.sh"

# --- podman's own files ------------------------------------------------------------------------------------------------
cat > /etc/containers/containers.conf <<CONF
[containers]
default_ulimits = ["nofile=$(ulimit -Hn):$(ulimit -Hn)", "nproc=9999:9999"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "$driver"
events_logger = "file"
infra_image = "localhost/pause"
runtime = "$runtime_name"
[network]
$([ "$firewall" ] || echo 'firewall_driver = "none"')
CONF
# What `make install` puts there.
mkdir /etc/containers/containers.conf.d
sed "s|@BINDIR@|${runtime%/*}|" "$here/docs/drop-ins/containers.conf" > /etc/containers/containers.conf.d/50-rt.conf
printf '[storage]\ndriver = "overlay"\nrunroot = "/run/containers/storage"\ngraphroot = "/var/lib/containers/storage"\n' > /etc/containers/storage.conf
echo '{ "default": [{ "type": "insecureAcceptAnything" }] }' > /etc/containers/policy.json
: > /etc/containers/registries.conf

box=localhost/box
podman() { timeout -k 1 60 podman "$@"; }
run() { podman run --rm --network none "$@"; }
at_terminal() { timeout -k 1 60 script -qec "$1" /dev/null | tr -d '\r'; }
state() { podman inspect --format "{{.State.$1}}" "$2"; }
fetch() { timeout 10 busybox wget -q -O - "http://$1/"; }
mkdir -p /tmp/shared; echo shared > /tmp/shared/file; echo page > /tmp/shared/index.html

expect 'import an image' 0 '*' podman import --quiet "$(image)" $box
podman import --quiet --change 'CMD ["sleep", "100000"]' "$(image)" localhost/pause > /dev/null
expect 'the runtime' 0 "$runtime_name" podman info --format '{{.Host.OCIRuntime.Name}}'

# --- run ---------------------------------------------------------------------------------------------------------------
expect 'run true' 0 '' run $box true
expect 'an exit code' 42 '' run $box sh -c 'exit 42'
expect 'a signal' 143 '' run $box sh -c 'sh -c "kill -15 \$\$"; exit $?'
expect 'a program that is not there: 127' 127 '' run $box nosuch
expect 'a path that is not there: 127' 127 '' run $box /nosuch
expect 'a program that may not be run: 126' 126 '' run $box /etc/passwd
expect 'a directory: 126' 126 '' run $box /etc
expect 'an unknown flag: 125' 125 '' run --nosuch $box
expect 'standard output' 0 'printed' run $box echo printed
expect_error 'standard error' 0 'printed' run $box sh -c 'echo printed >&2'
expect 'standard input' 0 'typed' sh -c "echo typed | timeout -k 1 60 podman run -i --rm --network none $box cat"
expect 'a terminal' 0 '/dev/pts/0*' run -t $box tty
expect 'a terminal at both ends' 0 '*/dev/pts/0*' at_terminal "podman run --rm -it --network none $box tty"
expect 'the size of a terminal' 0 '*33 77*' at_terminal "stty rows 33 cols 77; podman run --rm -it --network none $box sh -c 'sleep 0.5; stty size'"
expect 'the environment' 0 'value' run -e KEY=value $box sh -c 'echo $KEY'
expect 'the working directory' 0 '/tmp' run -w /tmp $box pwd
expect 'the user' 0 '1000 1000' run -u 1000:1000 $box sh -c 'echo $(id -u) $(id -g)'
expect 'more groups' 0 '0 7' run --group-add 7 $box id -G
expect 'the host name' 0 'named' run --hostname named $box hostname
expect 'init' 0 '*podman-init*' run --init $box cat /proc/1/cmdline
expect 'the umask' 0 '0077' run --umask 0077 $box sh -c umask
expect 'the time zone' 0 'UTC' run --tz local $box date +%Z
expect 'a pipe for standard input and output, a megabyte' 0 '1048576' sh -c "head -c 1048576 /dev/zero | timeout -k 1 60 podman run -i --rm --network none $box cat | wc -c"
expect 'preserved descriptors' 0 'told' sh -c "timeout -k 1 60 podman run --rm --network none --preserve-fds 1 $box sh -c 'echo told >&3' 3>&1"
expect 'LISTEN_FDS' 0 '1' sh -c "LISTEN_FDS=1 LISTEN_PID=\$\$ timeout -k 1 60 podman run --rm --network none $box sh -c 'echo \$LISTEN_FDS' 3< /dev/null"

# --- limits ------------------------------------------------------------------------------------------------------------
expect 'a memory limit' 0 '33554432' run --memory 32m $box cat $memory_max
expect 'killed for want of memory' 137 '' podman run --name hungry --network none --memory 16m --memory-swap 16m $box dd if=/dev/zero of=/dev/null bs=64M count=1
podman rm hungry > /dev/null
expect 'CPUs' 0 '50000*' run --cpus 0.5 $box cat $cpu_max
expect 'CPU shares' 0 "$shares_512" run --cpu-shares 512 $box cat $cpu_weight
if [ "$cpuset" ]; then
    expect 'a set of CPUs' 0 'Cpus_allowed_list:?0' run --cpuset-cpus 0 $box grep Cpus_allowed_list /proc/self/status
else
    skip 'a set of CPUs' 'this kernel has no cpuset'
fi
expect 'a limit of processes' 0 '20' run --pids-limit 20 $box cat $pids_max
expect 'an ulimit' 0 '77' run --ulimit nofile=77:77 --ulimit nproc=999:999 $box sh -c 'ulimit -n'
expect 'a sysctl' 0 '1' run --sysctl net.ipv4.ip_forward=1 $box cat /proc/sys/net/ipv4/ip_forward
expect 'the OOM score' 0 '500' run --oom-score-adj 500 $box cat /proc/self/oom_score_adj
expect 'no cgroups' 0 'yes' run --cgroups disabled $box echo yes

# --- privileges --------------------------------------------------------------------------------------------------------
expect 'no capabilities' 0 '*0000000000000000' run --cap-drop all -u 1000 $box grep CapEff /proc/self/status
expect 'one capability' 0 '*0000000000001000' run --cap-drop all --cap-add net_admin $box grep CapEff /proc/self/status
expect 'no_new_privs' 0 '*1' run --security-opt no-new-privileges $box grep NoNewPrivs /proc/self/status
expect 'the seccomp profile' 0 'Seccomp:?2' run $box grep Seccomp: /proc/self/status
expect 'no seccomp profile' 0 'Seccomp:?0' run --security-opt seccomp=unconfined $box grep Seccomp: /proc/self/status
printf '{ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 2 }] }' > /tmp/profile.json
expect_error 'a seccomp profile of one'\''s own' 1 '*No such file or directory*' run --security-opt seccomp=/tmp/profile.json $box mkdir /new
expect 'a masked path' 0 '0' run $box sh -c 'cat /proc/keys | wc -c'
expect 'a path unmasked' 0 'yes' run --security-opt unmask=/proc/keys $box sh -c '[ $(cat /proc/keys | wc -c) != 0 ] && echo yes'
expect 'a path masked' 0 '0' run --security-opt mask=/proc/version $box sh -c 'cat /proc/version | wc -c'
expect 'a device' 0 'crw*' run --device /dev/fuse $box ls -l /dev/fuse
expect 'privileged' 0 'yes' run --privileged $box sh -c 'mount -t tmpfs x /mnt && echo yes'

# --- files -------------------------------------------------------------------------------------------------------------
expect_error 'a read-only root' 1 '*Read-only file system*' run --read-only $box touch /etc/new
expect 'but /tmp' 0 '' run --read-only $box touch /tmp/new
expect 'a volume' 0 'shared' run -v /tmp/shared:/mnt $box cat /mnt/file
expect_error 'a read-only volume' 1 '*Read-only file system*' run -v /tmp/shared:/mnt:ro $box touch /mnt/new
expect 'a volume with a label' 0 'shared' run -v /tmp/shared:/mnt:z $box cat /mnt/file
mkdir /tmp/mapped; touch /tmp/mapped/file
expect 'an id-mapped volume' 0 '0 0' run --uidmap 0:300000:1000 --gidmap 0:300000:1000 -v /tmp/mapped:/mnt:idmap $box stat -c '%u %g' /mnt/file
expect 'a named volume' 0 'kept' sh -c "podman run --rm --network none -v data:/data $box sh -c 'echo kept > /data/file'; podman run --rm --network none -v data:/data $box cat /data/file"
expect 'a tmpfs' 0 'tmpfs' run --tmpfs /mnt $box stat -f -c %T /mnt
expect 'a mount of an image' 0 'guest*' run --mount "type=image,source=$box,destination=/mnt" $box tail -n 1 /mnt/etc/passwd
expect 'propagation' 0 'master:*' run -v /tmp/shared:/mnt:rslave $box awk '$5 == "/mnt" { print $7 }' /proc/self/mountinfo
expect 'the size of /dev/shm' 0 '*size=2048k*' run --shm-size 2m $box grep ' /dev/shm ' /proc/mounts
expect 'a secret' 0 'secret' sh -c "printf secret | podman secret create word - > /dev/null; podman run --rm --network none --secret word $box cat /run/secrets/word"

# --- namespaces --------------------------------------------------------------------------------------------------------
expect 'a user namespace' 0 '*100000*' run --uidmap 0:100000:1000 --gidmap 0:100000:1000 $box cat /proc/self/uid_map
expect 'a user namespace of podman'\''s choice' 0 '*0*[1-9]*' run --userns auto $box cat /proc/self/uid_map
expect 'the pids of the host' 0 '' run --pid host $box sh -c 'test $$ != 1'
expect 'the uts of the host' 0 "$(hostname)" run --uts host $box hostname
expect 'the ipc of the host' 0 '' run --ipc host $box true
podman run -d --name first --network none --ipc shareable $box sh -c 'touch /dev/shm/x; sleep 1000' > /dev/null
expect 'the namespaces of another container' 0 'yes' run --pid container:first --ipc container:first $box sh -c 'grep -q sleep /proc/1/cmdline && ls /dev/shm/x > /dev/null && echo yes'
expect 'a namespace by its path' 0 'yes' run --pid "ns:/proc/$(state Pid first)/ns/pid" $box sh -c 'grep -q sleep /proc/1/cmdline && echo yes'
podman rm -f -t 0 first > /dev/null

# --- network -----------------------------------------------------------------------------------------------------------
expect 'the bridge' 0 '*inet 10.88.*' podman run --rm $box ip -4 address show eth0
expect 'the network of the host' 0 'eth0' podman run --rm --network host $box sh -c 'ls /sys/class/net | grep eth0'
podman run -d --name web -p 8080:80 -v /tmp/shared:/mnt $box httpd -f -h /mnt > /dev/null
if [ "$firewall" ]; then
    expect_soon 'a published port' 'page' fetch 127.0.0.1:8080
else
    skip 'a published port' 'this kernel has no iptables'
fi
expect_soon 'the network of another container' 'page' podman run --rm --network container:web $box wget -q -O - http://127.0.0.1/
expect 'a network by its path' 0 'page' podman run --rm --network "ns:/proc/$(state Pid web)/ns/net" $box wget -q -O - http://127.0.0.1/
podman rm -f -t 0 web > /dev/null
podman network create ours > /dev/null
podman run -d --name web --network ours -v /tmp/shared:/mnt $box httpd -f -h /mnt > /dev/null
expect_soon 'another container by its name' 'page' podman run --rm --network ours $box wget -q -O - http://web/
podman rm -f -t 0 web > /dev/null; podman network rm ours > /dev/null

# --- the life of a container -------------------------------------------------------------------------------------------
expect 'run detached' 0 '*' podman run -d --network none --name life $box sh -c 'echo started; trap "echo stopping; exit 5" TERM; while :; do sleep 0.05; done'
expect_soon 'logs' 'started' podman logs life
expect 'ps' 0 'life Up*' podman ps --format '{{.Names}} {{.Status}}'
expect 'exec' 0 'inside' podman exec life echo inside
expect 'the exit code of exec' 7 '' podman exec life sh -c 'exit 7'
expect 'exec of nothing: 127' 127 '' podman exec life nosuch
expect 'exec of what may not be run: 126' 126 '' podman exec life /etc/passwd
expect 'exec with standard input' 0 'typed' sh -c 'echo typed | timeout -k 1 60 podman exec -i life cat'
expect 'exec on a terminal' 0 '/dev/pts/*' podman exec -t life tty
expect 'exec at a terminal at both ends' 0 '*/dev/pts/*' at_terminal 'podman exec -it life tty'
expect 'exec as a user, elsewhere, with a variable' 0 '1000 /tmp b' podman exec -u 1000 -w /tmp -e a=b life sh -c 'echo $(id -u) $(pwd) $a'
expect 'exec with privileges' 0 '*ff' podman exec --privileged life grep CapEff /proc/self/status
expect 'exec, detached' 0 '*' podman exec -d life touch /tmp/made
expect_soon 'what exec made' '/tmp/made' podman exec life ls /tmp/made
expect 'top' 0 '*sh*' podman top life
expect 'stats' 0 'life *B*' podman stats --no-stream --format '{{.Name}} {{.MemUsage}}' life
expect 'cp in and out' 0 'shared' sh -c 'podman cp /tmp/shared/file life:/tmp/copied; podman cp life:/tmp/copied /tmp/back; cat /tmp/back'
expect 'pause' 0 '*' podman pause life
expect 'the state paused' 0 'paused' state Status life
expect 'unpause' 0 '*' podman unpause life
expect 'stop' 0 '*' podman stop -t 10 life
expect 'logs after stop' 0 'started?stopping' podman logs life
expect 'the exit code after stop' 0 '5' state ExitCode life
expect 'start again' 0 '*' podman start life
expect 'kill' 0 '*' podman kill -s KILL life
expect 'wait' 0 '137' podman wait life
expect_error 'kill when it has ended' 125 '*can only kill running containers*' podman kill life
expect 'restart' 0 '*' podman restart -t 1 life
expect 'rm --force' 0 '*' podman rm -f -t 0 life
expect 'create, then start attached' 0 '*' podman create --name later --network none $box echo later
expect 'start --attach' 0 'later' podman start --attach later
expect 'rm' 0 '*' podman rm later
expect 'attach' 0 'told' sh -c "podman run -d --rm --network none --name attached $box sh -c 'sleep 3; echo told' > /dev/null; timeout -k 1 10 podman attach attached"
expect 'logs -f until the end' 0 '1?2?3' sh -c "podman run -d --network none --name count $box sh -c 'for i in 1 2 3; do echo \$i; sleep 0.2; done' > /dev/null; timeout -k 1 20 podman logs -f count; podman rm count > /dev/null"
podman run -d --network none --name well --health-cmd true --health-interval disable $box sleep 1000 > /dev/null
expect 'a check of health' 0 '' podman healthcheck run well
podman run -d --network none --name ill --health-cmd false --health-interval disable $box sleep 1000 > /dev/null
expect 'a check that fails' 1 '*' podman healthcheck run ill
podman rm -f -t 0 well ill > /dev/null
expect 'a restart on failure' 0 '2' sh -c "podman run -d --network none --name again --restart on-failure:2 $box false > /dev/null; sleep 2; podman inspect --format '{{.RestartCount}}' again; podman rm -f -t 0 again > /dev/null"
if has update && podman update --help > /dev/null 2>&1; then
    podman run -d --network none --name up --memory 32m $box sleep 1000 > /dev/null
    expect 'update' 0 '*' podman update --memory 40m up
    expect 'what it has changed' 0 '41943040' podman exec up cat $memory_max
    podman rm -f -t 0 up > /dev/null
else
    skip 'update' "this podman or $runtime_name has none"
fi
if has checkpoint && criu check > /dev/null 2>&1; then
    podman run -d --network none --name counter --security-opt seccomp=unconfined $box sh -c 'i=0; while :; do i=$((i + 1)); echo $i; sleep 0.05; done' > /dev/null
    expect 'checkpoint' 0 '*' podman container checkpoint counter
    expect 'restore' 0 '*' podman container restore counter
    expect 'it counts on' 0 'running' state Status counter
    podman rm -f -t 0 counter > /dev/null
else
    skip 'checkpoint and restore' "$runtime_name has no checkpoint, or CRIU does not work here"
fi

# --- pods --------------------------------------------------------------------------------------------------------------
expect 'pod create' 0 '?*' podman pod create --name pod -p 8082:80
expect 'a container in the pod' 0 '?*' podman run -d --pod pod --name web -v /tmp/shared:/mnt $box httpd -f -h /mnt
[ ! "$firewall" ] || expect_soon 'the port of the pod' 'page' fetch 127.0.0.1:8082
expect 'the network of the pod' 0 'page' podman run --rm --pod pod $box wget -q -O - http://127.0.0.1/
expect 'pod pause and unpause' 0 '*' sh -c 'podman pod pause pod && podman pod unpause pod'
expect 'pod stop' 0 '*' podman pod stop -t 1 pod
expect 'pod start' 0 '*' podman pod start pod
expect 'pod rm' 0 '*' podman pod rm -f -t 0 pod
cat > /tmp/pod.yaml <<YAML
apiVersion: v1
kind: Pod
metadata: { name: played }
spec:
  containers:
  - name: box
    image: localhost/box:latest
    imagePullPolicy: Never
    command: ["sh", "-c", "cat /config/key; sleep 1000"]
    resources: { limits: { memory: 32Mi } }
    securityContext: { runAsUser: 1000, readOnlyRootFilesystem: true }
    volumeMounts: [{ name: config, mountPath: /config }]
  volumes:
  - name: config
    hostPath: { path: /tmp/shared/config }
YAML
mkdir -p /tmp/shared/config; echo value > /tmp/shared/config/key
expect 'play kube' 0 '*' podman play kube /tmp/pod.yaml
expect_soon 'it runs' 'value' podman logs played-box
expect 'as its user' 0 '1000' podman exec played-box id -u
expect 'play kube --down' 0 '*' podman play kube --down /tmp/pod.yaml

# --- images ------------------------------------------------------------------------------------------------------------
printf 'FROM localhost/box\nENV A=b\nRUN echo $A > /built && id -u >> /built\nUSER 1000\nCMD ["cat", "/built"]\n' > /tmp/Containerfile
expect 'build' 0 '*' podman build --quiet --runtime "$runtime" -t built -f /tmp/Containerfile /tmp/shared
expect 'run what was built' 0 'b?0' run built
expect 'commit' 0 '/new' sh -c "podman run --network none --name changed $box touch /new; podman commit -q changed changed > /dev/null; podman rm changed > /dev/null; podman run --rm --network none changed ls /new"

expect 'no container is left' 0 '' podman ps -a --format '{{.Names}} {{.Command}}'
expect_nothing_left

# --- a manager that dies -----------------------------------------------------------------------------------------------
podman run -d --network none --name orphan $box sleep 1000 > /dev/null
kill -9 "$(podman inspect --format '{{.State.ConmonPid}}' orphan)"
expect 'listed after conmon has died' 0 'orphan' podman ps -a --format '{{.Names}}'
# podman 5 refuses the first time, with any runtime: it cannot tell the exit code.
expect_soon 'removed after conmon has died' 'orphan' podman rm -f -t 0 orphan
expect 'it is gone' 0 '' podman ps -a --format '{{.Names}}'

if [ "$RT_CONTAINED" = guest ]; then   # guest/podman.sh has a user with a systemd of their own
    sum
    exit
fi
# --- without privilege -------------------------------------------------------------------------------------------------
chmod 644 "$(image)"
# The runtime may lie where the user cannot look.
install -m 755 "$runtime" /opt/"$runtime_name"
guest() { setpriv --reuid 4000 --regid 4000 --clear-groups env HOME=/home/guest XDG_RUNTIME_DIR=/run/user/4000 "$@"; }
user_podman() { guest timeout -k 1 60 podman --runtime "/opt/$runtime_name" "$@"; }
user_run() { user_podman run --rm --network none "$@"; }
rm -f /etc/containers/storage.conf
expect 'rootless: import an image' 0 '*' user_podman import --quiet "$(image)" $box
expect 'rootless: run' 0 '0' user_run $box id -u
expect 'rootless: an exit code' 42 '' user_run $box sh -c 'exit 42'
expect 'rootless: a program that is not there' 127 '' user_run $box nosuch
expect 'rootless: a terminal' 0 '/dev/pts/0*' user_run -t $box tty
expect 'rootless: keep-id' 0 '4000' user_run --userns keep-id $box id -u
expect 'rootless: nomap' 0 '0' user_run --userns nomap $box id -u
expect 'rootless: a volume' 0 'shared' user_run -v /tmp/shared:/mnt:ro $box cat /mnt/file
expect 'rootless: the user' 0 '1000' user_run -u 1000 $box id -u
expect 'rootless: the network of the host' 0 'eth0' user_podman run --rm --network host $box sh -c 'ls /sys/class/net | grep eth0'
expect 'rootless: privileged' 0 'yes' user_run --privileged $box sh -c 'mount -t tmpfs x /mnt && echo yes'
expect 'rootless: run detached' 0 '?*' user_podman run -d --network none --name life $box sh -c 'echo started; trap "exit 5" TERM; while :; do sleep 0.05; done'
expect_soon 'rootless: logs' 'started' user_podman logs life
expect 'rootless: exec' 0 'inside' user_podman exec life echo inside
expect 'rootless: stop' 0 'life' user_podman stop -t 10 life
expect 'rootless: the exit code' 0 '5' user_podman inspect --format '{{.State.ExitCode}}' life
expect 'rootless: rm' 0 '*' user_podman rm life
expect 'rootless: a network of its own' 0 '*tap0*' user_podman run --rm --network slirp4netns $box ip address
expect 'rootless: nothing is left' 0 '' user_podman ps -aq

sum
