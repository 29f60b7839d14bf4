#!/bin/sh
# dockerd over rt: what an introduction to Docker shows, and what its users rely on.
set -eu
. "$(dirname "$0")/checks.sh"
. "$here/integration/managers/daemons.sh"
start_docker "$runtime"
docker() { timeout -k 1 60 docker "$@"; }
run() { docker run "$@"; }
at_terminal() { timeout -k 1 60 script -qec "$1" /dev/null | tr -d '\r'; }
state() { docker inspect --format "{{.State.$1}}" "$2"; }
fetch() { timeout 10 busybox wget -q -O - "http://$1/"; }
loop='trap "echo stopping; exit 5" TERM; echo started; while :; do sleep 0.05; done'

expect 'load an image' 0 'Loaded image: localhost/box:latest' docker load --input "$(archive box '["sh"]')"
docker tag localhost/box:latest box
expect 'the default runtime' 0 "$runtime_name" docker info --format '{{.DefaultRuntime}}'
# shellcheck disable=SC2016
expect 'the version of the runtime' 0 'yes' sh -c 'docker info 2>/dev/null | grep -q "runc version:" && echo yes'

# --- run ---------------------------------------------------------------------------------------------------------------
expect 'run' 0 'hello' run --rm box echo hello
expect 'an exit code' 42 '' run --rm box sh -c 'exit 42'
expect 'an unknown flag: 125' 125 '' run --nosuch box true
expect_error 'a program that may not be run: 126' 126 '*permission denied*' run --rm box /etc/passwd
expect_error 'a directory: 126' 126 '*exec: "/etc": *' run --rm box /etc
expect_error 'a program that is not there: 127' 127 '*executable file not found in $PATH*' run --rm box nosuch
expect_error 'a path that is not there: 127' 127 '*no such file or directory*' run --rm box /nosuch
expect_error 'a path through a file' 12[57] '*not a directory*' run --rm box /etc/passwd/x
mkdir -p /tmp/shared; echo '#!/nosuch' > /tmp/shared/script; chmod +x /tmp/shared/script
expect_error 'an interpreter that is not there: 127' 127 '*no such file or directory*' run --rm -v /tmp/shared:/mnt box /mnt/script
expect_error 'standard error' 0 'said' run --rm box sh -c 'echo said >&2'
expect 'standard input' 0 'typed' sh -c 'echo typed | timeout -k 1 60 docker run --rm -i box cat'
expect 'a terminal' 0 '*/dev/pts/0*' at_terminal 'docker run --rm -it box tty'
expect 'the size of a terminal' 0 '*33 77*' at_terminal 'stty rows 33 cols 77; docker run --rm -it box sh -c "sleep 0.5; stty size"'
expect 'the exit code at a terminal' 7 '*' sh -c 'script -qec "docker run --rm -it box sh -c \"exit 7\"" /dev/null'
expect 'the environment' 0 'value' run --rm -e KEY=value box sh -c 'echo $KEY'
expect 'the working directory' 0 '/new/place' run --rm -w /new/place box pwd
expect 'the user' 0 '1000 5' run --rm -u 1000:5 box sh -c 'echo $(id -u) $(id -g)'
expect 'a user by name' 0 '1000' run --rm -u guest box id -u
expect 'more groups' 0 '0 7 8' run --rm --group-add 7 --group-add 8 box id -G
expect 'the host name' 0 'named' run --rm --hostname named box hostname
expect 'an entry of the hosts' 0 '*1.2.3.4*far*' run --rm --add-host far:1.2.3.4 box cat /etc/hosts
expect 'init' 0 '*docker-init*' run --rm --init box cat /proc/1/cmdline
expect 'a label, by filter' 0 'yes' sh -c 'docker create --name labelled --label a=b box true > /dev/null; docker ps -aqf label=a=b | grep -q . && echo yes; docker rm labelled > /dev/null'

# --- the life of a container -------------------------------------------------------------------------------------------
expect 'run detached' 0 '????????????*' run -d --name life box sh -c "$loop"
expect_soon 'logs' 'started' docker logs life
expect 'ps' 0 'life Up*' docker ps --format '{{.Names}} {{.Status}}'
expect 'exec' 0 'inside' docker exec life echo inside
expect 'the exit code of exec' 7 '' docker exec life sh -c 'exit 7'
expect 'exec of nothing' 12[67] '*executable file not found in $PATH*' docker exec life nosuch
expect 'exec of what may not be run: 126' 126 '*permission denied*' docker exec life /etc/passwd
expect 'exec as a user, elsewhere, with a variable' 0 '1000 /tmp b' docker exec -u 1000 -w /tmp -e a=b life sh -c 'echo $(id -u) $(pwd) $a'
expect 'exec with standard input' 0 'typed' sh -c 'echo typed | timeout -k 1 60 docker exec -i life cat'
expect 'exec at a terminal' 0 '*/dev/pts/*' at_terminal 'docker exec -it life tty'
expect 'exec, detached' 0 '' docker exec -d life touch /tmp/made
expect_soon 'what exec made' '/tmp/made' docker exec life ls /tmp/made
expect 'top' 0 '*sh -c trap*' docker top life
expect 'stats' 0 'life *iB*' docker stats --no-stream --format '{{.Name}} {{.MemUsage}}' life
expect 'cp in' 0 '' docker cp /etc/hostname life:/tmp/copied
expect 'cp out' 0 '*copied*' sh -c 'docker cp life:/tmp/copied - | tar t'
expect 'diff' 0 '*A /tmp/copied*' docker diff life
expect 'pause' 0 'life' docker pause life
expect 'the state paused' 0 'paused' state Status life
expect_error 'exec while it is paused' 1 '*is paused*' docker exec life true
expect 'unpause' 0 'life' docker unpause life
expect 'rename' 0 '' docker rename life lives
expect 'inspect' 0 'true 0' docker inspect --format '{{.State.Running}} {{.RestartCount}}' lives
expect 'stop' 0 'lives' docker stop lives
expect 'the exit code after stop' 0 '5' state ExitCode lives
expect 'logs after stop' 0 'started?stopping' docker logs lives
expect_error 'exec when it has ended' 1 '*is not running*' docker exec lives true
expect 'start again' 0 'lives' docker start lives
expect_soon 'logs of both lives' 'started?stopping?started' docker logs lives
expect 'restart' 0 'lives' docker restart lives
expect 'kill' 0 'lives' docker kill lives
expect 'wait' 0 '137' docker wait lives
expect_error 'kill when it has ended' 1 '*is not running*' docker kill lives
expect 'rm' 0 'lives' docker rm lives
expect 'stop by force: 137' 0 '137' sh -c 'docker run -d --name deaf box sh -c "trap : TERM; while :; do sleep 0.1; done" > /dev/null; docker stop -t 1 deaf > /dev/null; docker inspect -f "{{.State.ExitCode}}" deaf'
expect 'a signal of one'\''s own' 0 '9' sh -c 'docker rm deaf > /dev/null; docker run -d --name usr box sh -c "trap \"exit 9\" USR1; while :; do sleep 0.05; done" > /dev/null; sleep 0.3; docker kill -s USR1 usr > /dev/null; docker wait usr'
expect 'rm --force' 0 'usr' docker rm -f usr
expect 'logs -f until the end' 0 '1?2?3' sh -c 'docker run -d --name count box sh -c "for i in 1 2 3; do echo \$i; sleep 0.2; done" > /dev/null; timeout -k 1 20 docker logs -f count; docker rm count > /dev/null'
expect 'attach' 0 'told' sh -c 'docker run -d --rm --name attached box sh -c "sleep 3; echo told" > /dev/null; timeout -k 1 10 docker attach attached'
expect 'create, then start attached' 3 'later' sh -c 'docker create --name later box sh -c "echo later; exit 3" > /dev/null; docker start -a later'
docker run -d --name again --restart on-failure:2 box false > /dev/null
expect_soon 'restart on failure' '2 false' docker inspect -f '{{.RestartCount}} {{.State.Running}}' again
expect 'prune' 0 '*Total reclaimed space*' docker container prune --force
expect 'a check of health' 0 'healthy' sh -c 'docker run -d --name well --health-cmd true --health-interval 1s box sleep 100 > /dev/null; for i in 1 2 3 4 5 6 7 8 9; do sleep 0.5; docker inspect -f "{{.State.Health.Status}}" well | grep -x healthy && break; done; docker rm -f well > /dev/null'
expect 'a check that fails' 0 'unhealthy' sh -c 'docker run -d --name ill --health-cmd false --health-retries 1 --health-interval 1s box sleep 100 > /dev/null; for i in 1 2 3 4 5 6 7 8 9; do sleep 0.5; docker inspect -f "{{.State.Health.Status}}" ill | grep -x unhealthy && break; done; docker rm -f ill > /dev/null'
expect 'events' 0 'create attach start die destroy ' sh -c 'since=$(date +%s.%N); docker run --rm --network none box true; sleep 0.2; docker events --since $since --until $(date +%s.%N) --filter type=container --format "{{.Action}}" | tr "\n" " "'
expect 'a hundred lines' 0 '100' sh -c 'docker run --rm box seq 100 | wc -l'
expect 'a megabyte through a pipe' 0 '1048576' sh -c 'docker run --rm box dd if=/dev/zero bs=1024 count=1024 2>/dev/null | wc -c'

# --- images ------------------------------------------------------------------------------------------------------------
expect 'commit' 0 'sha256:*' sh -c 'docker run --name changed box touch /new; docker commit changed box:changed; docker rm changed > /dev/null'
expect 'what was committed' 0 '/new' run --rm box:changed ls /new
expect 'tag and rmi' 0 'Untagged: other:latest' sh -c 'docker tag box:changed other; docker rmi other'
mkdir /tmp/build
printf 'FROM box\nENV A=b\nWORKDIR /work\nCOPY file .\nRUN echo $A > built && id -u >> built\nUSER 1000\nRUN id -u > /tmp/user\nCMD ["cat", "built", "/tmp/user", "file"]\n' > /tmp/build/Dockerfile
echo copied > /tmp/build/file
expect 'build' 0 '*Successfully tagged built:latest*' env DOCKER_BUILDKIT=0 timeout -k 1 60 docker build -t built /tmp/build
expect 'run what was built' 0 'b?0?1000?copied' run --rm built
printf 'FROM box\nRUN exit 9\n' > /tmp/build/Dockerfile
expect_error 'a build that fails' 9 '*returned a non-zero code: 9*' env DOCKER_BUILDKIT=0 timeout -k 1 60 docker build --force-rm /tmp/build
expect 'save and load' 0 '*Loaded image: built:latest*' sh -c 'docker save built > /tmp/saved.tar; docker rmi -f built > /dev/null; docker load < /tmp/saved.tar'
expect 'export and import' 0 'hello' sh -c 'docker create --name flat box true > /dev/null; docker export flat | docker import - flat > /dev/null; docker rm flat > /dev/null; docker run --rm flat echo hello'

# --- files -------------------------------------------------------------------------------------------------------------
echo shared > /tmp/shared/file
expect 'a volume of the host' 0 'shared' run --rm -v /tmp/shared:/mnt box cat /mnt/file
expect 'it can be written' 0 'written' sh -c 'docker run --rm -v /tmp/shared:/mnt box sh -c "echo written > /mnt/new"; cat /tmp/shared/new'
expect_error 'a volume that is read-only' 1 '*Read-only file system*' run --rm -v /tmp/shared:/mnt:ro box touch /mnt/x
expect 'a named volume' 0 'kept' sh -c 'docker run --rm -v data:/data box sh -c "echo kept > /data/file"; docker run --rm -v data:/data box cat /data/file'
expect 'volumes of another' 0 'kept' sh -c 'docker create --name owner -v data:/data box true > /dev/null; docker run --rm --volumes-from owner box cat /data/file; docker rm owner > /dev/null'
expect 'a tmpfs' 0 '*tmpfs /scratch tmpfs rw,*size=1024k*' run --rm --tmpfs /scratch:size=1m box grep ' /scratch ' /proc/mounts
expect_error 'a read-only root' 1 '*Read-only file system*' run --rm --read-only box touch /x
expect 'the size of /dev/shm' 0 '*size=2048k*' run --rm --shm-size 2m box grep ' /dev/shm ' /proc/mounts
expect 'propagation' 0 '/mnt master:*' sh -c 'mkdir /tmp/slave; docker run --rm -v /tmp/slave:/mnt:rslave box awk "\$5 == \"/mnt\" { print \$5, \$7 }" /proc/self/mountinfo'
expect 'a masked path' 0 '0' run --rm box sh -c 'cat /proc/keys | wc -c'
expect_error 'a read-only path' 1 '*Read-only file system*' run --rm box sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward || exit 1'
expect 'a device' 0 'crw*1,*3*' run --rm --device /dev/null:/dev/mine box ls -l /dev/mine
expect_error 'a device that is not given' 1 '*Operation not permitted*' run --rm box sh -c 'mknod /dev/kmsg2 c 1 11; cat /dev/kmsg2'

# --- network -----------------------------------------------------------------------------------------------------------
expect 'the bridge' 0 '*inet 172.17.*' run --rm box ip -4 address show eth0
expect 'no network' 0 '1' run --rm --network none box sh -c 'ls /sys/class/net | wc -l'
expect 'the network of the host' 0 'eth0' run --rm --network host box sh -c 'ls /sys/class/net | grep eth0'
docker run -d --name web -p 8080:80 -v /tmp/shared:/mnt box httpd -f -h /mnt > /dev/null
echo page > /tmp/shared/index.html
expect_soon 'a published port' 'page' fetch 127.0.0.1:8080
expect_soon 'a published port, from outside' 'page' fetch 10.111.0.2:8080
expect 'port' 0 '*0.0.0.0:8080*' docker port web 80
expect 'the network of another container' 0 'page' run --rm --network container:web box wget -q -O - http://127.0.0.1/
docker rm -f web > /dev/null
printf 'FROM box\nEXPOSE 80\n' > /tmp/build/Dockerfile
DOCKER_BUILDKIT=0 docker build -qt exposed /tmp/build > /dev/null
docker run -d --name web -P -v /tmp/shared:/mnt exposed httpd -f -h /mnt > /dev/null
expect_soon 'all ports, published' 'page' fetch "127.0.0.1:$(docker port web 80 | head -n 1 | sed 's/.*://')"
docker rm -f web > /dev/null
docker network create ours > /dev/null
docker run -d --name web --network ours -v /tmp/shared:/mnt box httpd -f -h /mnt > /dev/null
if [ "$firewall" ]; then
    expect_soon 'another container by its name' 'page' docker run --rm --network ours box wget -q -O - http://web/
else
    skip 'another container by its name' 'this kernel has no iptables'
fi
expect 'network connect' 0 '2' sh -c 'docker network connect bridge web; docker exec web ls /sys/class/net | grep -c eth'
expect 'network disconnect' 0 '1' sh -c 'docker network disconnect bridge web; docker exec web ls /sys/class/net | grep -c eth'
docker rm -f web > /dev/null
docker network rm ours > /dev/null

# --- limits and privileges ---------------------------------------------------------------------------------------------
expect 'a memory limit' 0 '33554432' run --rm --memory 32m box cat $memory_max
# systemd removes the cgroup, and its count of kills, with the last process: whoever wants to read it is late now and then.
tries=0 seen=
while [ "$seen" != true ] && [ $tries -lt $oom_tries ]; do
    expect 'killed for want of memory: 137' 137 '' run --name hungry --memory 16m --memory-swap 16m box dd if=/dev/zero of=/dev/null bs=64M count=1
    seen=$(state OOMKilled hungry) tries=$((tries + 1))
    docker rm hungry > /dev/null
done
expect 'an OOM kill is seen' 0 true echo "$seen"
expect 'CPUs' 0 '50000*' run --rm --cpus 0.5 box cat $cpu_max
expect 'CPU shares' 0 "$shares_512" run --rm --cpu-shares 512 box cat $cpu_weight
if [ "$cpuset" ]; then
    expect 'a set of CPUs' 0 'Cpus_allowed_list:?0' run --rm --cpuset-cpus 0 box grep Cpus_allowed_list /proc/self/status
else
    skip 'a set of CPUs' 'this kernel has no cpuset'
fi
expect 'a limit of processes' 0 '20' run --rm --pids-limit 20 box cat $pids_max
expect 'an ulimit' 0 '77' run --rm --ulimit nofile=77:77 box sh -c 'ulimit -n'
expect 'a sysctl' 0 '1' run --rm --sysctl net.ipv4.ip_forward=1 box cat /proc/sys/net/ipv4/ip_forward
expect 'the OOM score' 0 '500' run --rm --oom-score-adj 500 box cat /proc/self/oom_score_adj
expect 'capabilities' 0 'CapEff:?0000000000000000' run --rm --cap-drop all box grep CapEff /proc/self/status
expect 'one capability' 0 'CapEff:?0000000000001000' run --rm --cap-drop all --cap-add net_admin box grep CapEff /proc/self/status
expect 'no new privileges' 0 'NoNewPrivs:?1' run --rm --security-opt no-new-privileges box grep NoNewPrivs /proc/self/status
expect 'the seccomp profile' 0 'Seccomp:?2' run --rm box grep Seccomp: /proc/self/status
expect 'no seccomp profile' 0 'Seccomp:?0' run --rm --security-opt seccomp=unconfined box grep Seccomp: /proc/self/status
expect 'the pids of the host' 0 'yes' run --rm --pid host box sh -c '[ $$ != 1 ] && echo yes'
expect 'the pids of another' 0 'yes' sh -c 'docker run -d --name first box sleep 100 > /dev/null; docker run --rm --pid container:first box grep -q sleep /proc/1/cmdline && echo yes; docker rm -f first > /dev/null'
expect 'a shareable ipc' 0 'yes' sh -c 'docker run -d --name first --ipc shareable box sh -c "touch /dev/shm/x; sleep 100" > /dev/null; sleep 0.3; docker run --rm --ipc container:first box ls /dev/shm/x > /dev/null && echo yes; docker rm -f first > /dev/null'
expect 'the uts of the host' 0 "$(hostname)" run --rm --uts host box hostname
case $runtime_name in
    # They refuse what this machine cannot give; the spec asks for a warning.
    crun|runc) if run --rm --privileged box true 2> /dev/null; then pass 'privileged'; else skip 'privileged' 'a capability is missing here'; fi ;;
    *)
        expect 'privileged' 0 'yes' run --rm --privileged box sh -c 'mount -t tmpfs x /mnt && echo yes'
        docker run -d --name plain box sleep 100 > /dev/null
        expect 'exec --privileged' 0 'CapEff:?00000?*ffffff' docker exec --privileged plain grep CapEff /proc/self/status
        docker rm -f plain > /dev/null ;;
esac
if has update; then
    expect 'update' 0 '41943040' sh -c 'docker run -d --name up --memory 32m box sleep 100 > /dev/null; docker update --memory 40m --memory-swap 80m up > /dev/null; docker exec up cat $memory_max; docker rm -f up > /dev/null'
    expect 'update of CPUs and processes' 0 '50000*33' sh -c 'docker run -d --name up box sleep 100 > /dev/null; docker update --cpus 0.5 --pids-limit 33 up > /dev/null; docker exec up sh -c "echo \$(cat $cpu_max $pids_max)"; docker rm -f up > /dev/null'
else
    skip 'update' "$runtime_name has no update yet"
fi

# --- a daemon that dies ------------------------------------------------------------------------------------------------
docker run -d --name survivor box sleep 1000 > /dev/null
kill -9 "$docker_pid"
wait "$docker_pid" 2> /dev/null || true
rm -f /run/docker.pid /var/run/docker.pid
rm -f /etc/docker/daemon.json
mkdir /opt/called
ln -s "$runtime" /opt/called/runc
run_docker --live-restore --add-runtime under-test="$runtime" --add-runtime called-runc=/opt/called/runc
expect 'listed after dockerd has died' 0 'survivor Up*' docker ps --format '{{.Names}} {{.Status}}'
expect 'exec after dockerd has died' 0 'inside' docker exec survivor echo inside
expect 'stopped after dockerd has died' 0 'survivor' docker stop -t 1 survivor
expect 'removed after dockerd has died' 0 'survivor' docker rm survivor
expect 'a runtime that is not the default' 0 'under-test' sh -c 'docker run --name other --runtime under-test box true && docker inspect -f "{{.HostConfig.Runtime}}" other && docker rm other > /dev/null'
shim_of() { sed -n 's/^PPid:[^0-9]*//p' "/proc/$(state Pid "$1")/status"; }
docker run -d --runtime under-test --name orphan box sleep 1000 > /dev/null
pid=$(state Pid orphan)
kill -9 "$(shim_of orphan)"
expect_soon 'listed after its shim has died' 'orphan Exited*' docker ps -a --format '{{.Names}} {{.Status}}'
expect_soon 'nothing of it runs' 'gone' sh -c "kill -0 $pid 2> /dev/null || echo gone"
expect 'started again' 0 'orphan' docker start orphan
expect 'exec in it' 0 'inside' docker exec orphan echo inside
# Both at once, and a dockerd that finds neither.
kill -9 "$docker_pid" "$(shim_of orphan)"
wait "$docker_pid" 2> /dev/null || true
rm -f /run/docker.pid /var/run/docker.pid
run_docker --add-runtime under-test="$runtime" --add-runtime called-runc=/opt/called/runc
expect_soon 'listed after dockerd and the shim have died' 'orphan Exited*' docker ps -a --format '{{.Names}} {{.Status}}'
expect 'started once more' 0 'orphan' docker start orphan
expect 'stopped' 0 'orphan' docker stop -t 1 orphan
expect 'removed' 0 'orphan' docker rm orphan
# dockerd alone, which keeps nothing alive: what it finds when it comes again, it ends.
docker run -d --runtime under-test --name left box sleep 1000 > /dev/null
kill -9 "$docker_pid"
wait "$docker_pid" 2> /dev/null || true
rm -f /run/docker.pid /var/run/docker.pid
run_docker --add-runtime under-test="$runtime" --add-runtime called-runc=/opt/called/runc
expect_soon 'ended by a dockerd that came again' 'left Exited (137)*' docker ps -a --format '{{.Names}} {{.Status}}'
expect 'removed by it' 0 'left' docker rm left

# --- beside runc -------------------------------------------------------------------------------------------------------
# session RUNTIME SCRIPT   what SCRIPT prints, its exit code, and the events that it makes (in no order: some come late, and that of an OOM
# kill comes now and then only, with runc, too); ids are taken out
session() {
    since=$(date +%s.%N) code=0
    said=$(R=$1 timeout -k 1 60 sh -c "$2" 2>&1 < /dev/null) || code=$?
    docker rm -f it > /dev/null 2>&1 || true
    events=$(docker events --since "$since" --until "$(date +%s.%N)" --filter type=container --format '{{.Action}} {{.Actor.Attributes.exitCode}} {{.Actor.Attributes.signal}}' | sort)
    printf '%s\nexit code %s\n%s\n' "$said" "$code" "$events" | sed 's/[0-9a-f]\{64\}/ID/g; s/[0-9a-f]\{12\}/ID/g; s/time="[^"]*"/time/; /error waiting for container: context canceled/d; /^oom /d; s/pid [0-9]*/pid/; s/"Pid":[0-9]*/"Pid"/'
}
# same WHAT LINE SCRIPT   the session is the same with runc and with the runtime under test that is called so; LINE, a
# pattern of grep, is in it: two that fail in the same way prove nothing
same() {
    session runc "$3" > /tmp/of-runc
    session called-runc "$3" > /tmp/of-ours
    if ! grep -q "$2" /tmp/of-runc; then fail "as with runc: $1" "no line '$2': $(cat /tmp/of-runc)"
    elif diff /tmp/of-runc /tmp/of-ours > /tmp/differences; then pass "as with runc: $1"
    else fail "as with runc: $1" "$(cat /tmp/differences)"; fi
}
same 'hello' '^die 0' 'docker run --rm --runtime $R box echo hello'
same 'an exit code' '^exit code 3$' 'docker run --rm --runtime $R box sh -c "echo said >&2; exit 3"'
same '125' '^exit code 125$' 'docker run --rm --runtime $R --nosuch box true'
same '125, of the daemon' '^exit code 125$' 'docker run --rm --runtime $R --memory 1k box true'
same '126' '^exit code 126$' 'docker run --name it --runtime $R box /etc/passwd; code=$?; docker inspect -f "{{json .State}}" it | grep -o "\"Status.*StartedAt"; exit $code'
same '126, a directory' '^exit code 126$' 'docker run --rm --runtime $R box /etc 2> /dev/null'   # runc 1.1 does not say that it is one, 1.2 does
same '127' '"ExitCode":127' 'docker run --name it --runtime $R box nosuch; code=$?; docker inspect -f "{{json .State}}" it | grep -o "\"Status.*StartedAt"; exit $code'
same '127, of a path' '^exit code 127$' 'docker run --rm --runtime $R box /nosuch'
same '137, killed' '^137$' 'docker run -d --name it --runtime $R box sleep 1000 && docker kill it && docker wait it'
same '137, deaf' '^137$' 'docker run -d --name it --runtime $R box sh -c "trap : TERM; echo up; while :; do sleep 0.1; done" && sleep 0.3 && docker stop -t 1 it && docker wait it && docker logs it'
same '137, of a program' '^exit code 137$' 'docker run --rm --runtime $R box sh -c "sh -c \"kill -9 \\\$\\\$\"; exit \$?"'
[ $oom_tries != 1 ] || same '137, for want of memory' '^true 137$' 'docker run --name it --runtime $R --memory 16m --memory-swap 16m box dd if=/dev/zero of=/dev/null bs=64M count=1; echo $?; docker inspect -f "{{.State.OOMKilled}} {{.State.ExitCode}}" it'
same '143' '^143$' 'docker run -d --init --name it --runtime $R box sleep 1000 && sleep 0.5 && docker stop it && docker wait it'
same 'a terminal' '^exit code 5$' 'sleep 2 | script -qec "docker run --rm -it --runtime $R box sh -c \"tty; stty size; exit 5\"" /dev/null'
same 'exec' '^126$' 'docker run -d --name it --runtime $R box sleep 1000; docker exec it echo inside; docker exec it sh -c "exit 7"; echo $?; docker exec it nosuch; echo $?; docker exec it /etc/passwd; echo $?; docker exec -w /nosuch it true > /dev/null 2>&1; echo $?'
same 'pause, top, restart' 'is paused' 'docker run -d --name it --runtime $R box sleep 1000; docker pause it; docker exec it true; docker kill it; docker unpause it; docker top it -o comm,args; docker restart -t 0 it; docker start it; docker stop -t 0 it; docker start it; docker rm it'
same 'a restart on failure' '^1 4$' 'docker run -d --name it --restart on-failure:1 --runtime $R box sh -c "exit 4"; until [ "$(docker inspect -f "{{.RestartCount}} {{.State.Running}}" it)" = "1 false" ]; do sleep 0.1; done; docker inspect -f "{{.RestartCount}} {{.State.ExitCode}}" it'
expect 'no container is left' 0 '' docker ps -a --format '{{.Names}} {{.Command}}'
stop_docker

# --- user namespaces for all -------------------------------------------------------------------------------------------
start_docker "$runtime" --userns-remap default --data-root /var/lib/docker-remapped
docker load --quiet --input "$(archive box '["sh"]')" > /dev/null
docker tag localhost/box:latest box
expect 'userns-remap' 0 '*0*1300000*65536*' run --rm box cat /proc/self/uid_map
expect 'root in a user namespace' 0 '0 1300000' sh -c 'docker run -d --name mapped box sh -c "id -u > /x; sleep 100" > /dev/null; sleep 0.3; echo $(docker exec mapped id -u) $(stat -c %u /proc/$(docker inspect -f "{{.State.Pid}}" mapped))'
expect 'a port over a user namespace' 0 'yes' sh -c 'docker rm -f mapped > /dev/null; docker run --rm -p 8081:80 box true && echo yes'
expect 'the user namespace of the host' 0 '*0*0*4294967295*' run --rm --userns host box cat /proc/self/uid_map
stop_docker
stop_containerd
sum
