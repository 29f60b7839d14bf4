#!/bin/sh
# podman.sh RT   podman with the systemd cgroup manager over rt, as root and rootless, in a guest whose pid 1 is systemd.
. "$(dirname "$0")/chapter.sh"

life() {
    is "run" hello "$(podman run --rm box echo hello 2>&1)"
    podman run --rm box sh -c 'exit 7'; is "its exit status" 7 $?
    podman run --rm box nosuch 2>/dev/null; is "a program that is not there" 127 $?
    podman run -d --name c --memory 64m --pids-limit 50 box sh -c 'trap "exit 3" TERM; while :; do sleep 0.1; done' >/dev/null; is "run --detach" 0 $?
    scope=libpod-$(podman inspect -f '{{.Id}}' c).scope
    is "its cgroup manager" systemd "$(podman info -f '{{.Host.CgroupManager}}')"
    is "its runtime" rt "$(podman inspect -f '{{.OCIRuntime}}' c)"
    is "its unit" active "$(systemctl $MANAGER show -P ActiveState "$scope")"
    is "the unit's limits" "67108864 50" "$(echo $(systemctl $MANAGER show -P MemoryMax "$scope") $(systemctl $MANAGER show -P TasksMax "$scope"))"
    D=$CG$(systemctl $MANAGER show -P ControlGroup "$scope")
    is "the cgroup's limits" "67108864 50" "$(cat $D/memory.max $D/pids.max | xargs)"
    is "exec" 0::/ "$(podman exec c cat /proc/self/cgroup)"
    podman exec c sh -c 'exit 9'; is "its exit status" 9 $?
    podman exec c nosuch 2>/dev/null; is "exec of what is not there" 127 $?
    has "stats" MB "$(podman stats --no-stream --format '{{.MemUsage}} {{.PIDs}}' c)"
    has "top" sleep "$(podman top c args)"
    podman pause c >/dev/null; is "paused" "paused 1" "$(podman inspect -f '{{.State.Status}}' c) $(cat $D/cgroup.freeze)"
    podman unpause c >/dev/null; is "unpaused" running "$(podman inspect -f '{{.State.Status}}' c)"
    if $RT update --help >/dev/null 2>&1; then
        podman update --memory 32m --pids-limit 40 c >/dev/null; is "update" 0 $?
        is "the new limits" "33554432 40 33554432 40" "$(echo $(cat $D/memory.max $D/pids.max) $(systemctl $MANAGER show -P MemoryMax "$scope") $(systemctl $MANAGER show -P TasksMax "$scope"))"
        systemctl $MANAGER daemon-reload; is "after daemon-reload" "33554432 40" "$(cat $D/memory.max $D/pids.max | xargs)"
    else echo "skipped: rt update"; fi
    podman stop -t 5 c >/dev/null; is "stop" "exited 3" "$(podman inspect -f '{{.State.Status}} {{.State.ExitCode}}' c)"
    is "the unit is gone" "not-found" "$(systemctl $MANAGER show -P LoadState "$scope")"
    podman start c >/dev/null; is "start again" running "$(podman inspect -f '{{.State.Status}}' c)"
    podman kill c >/dev/null; podman wait c >/dev/null; is "kill" 137 "$(podman inspect -f '{{.State.ExitCode}}' c)"
    podman rm -f c >/dev/null; is "rm" 0 $?
    # conmon hears of it from the cgroup, which systemd removes a moment later: on one CPU it is late now and then.
    tries=0 oom=
    while [ $tries -lt 5 ] && [ "$oom" != "137 true" ]; do
        podman run -d --name oom --memory 16m --memory-swap 16m box sh -c 'exec sh -c "x=\$(head -c 60m /dev/zero | tr \"\\0\" x)"' >/dev/null; podman wait oom >/dev/null
        oom=$(podman inspect -f '{{.State.ExitCode}} {{.State.OOMKilled}}' oom); podman rm -f oom >/dev/null
        is "the exit status of a container out of memory" 137 "${oom% *}"; tries=$((tries + 1))
    done
    is "it is told" "137 true" "$oom"
    podman run --rm --cgroups=disabled box true; is "without cgroups" 0 $?
    is "read-only" 1 "$(podman run --rm --read-only box sh -c 'echo 2>/dev/null >/x; echo $?')"
    is "another user" 1001 "$(podman run --rm --user 1001 box id -u)"
    podman run --rm --tmpfs /t:size=1m -v /etc/hostname:/h:ro box sh -c 'touch /t/x && ! echo 2>/dev/null >/h && cat /h' >/tmp/h.$$; is "volumes" "$(cat /etc/hostname)" "$(cat /tmp/h.$$)"
    is "nothing is left" "" "$(podman ps -aq)$($RT list -q)$(systemctl $MANAGER list-units --all --plain --no-legend 'libpod-*.scope' | grep -v conmon)"
}

# rt in a container that rt has made: a privileged one is a system like any other, in an ordinary one it has nothing.
nested() {
    inside='mkdir -p /b/rootfs/proc /b/rootfs/sys /b/rootfs/dev /run && cp -a /bin /b/rootfs && cd /b && rt spec && cp config.json full
        sed -i "s/\"terminal\": true/\"terminal\": false/; s/\"sh\"/\"sleep\", \"1000\"/" config.json
        rt run -d in </dev/null >/dev/null && rt exec in id -u && rt pause in && rt resume in && rt delete --force in && rt list -q'
    nest() { podman run --rm "$@" -v $RT:/usr/bin/rt:ro -e PATH=/usr/bin:/bin box sh -c "$inside" 2>&1 | tr -d '\r'; }
    is "in a privileged container" 0 "$(nest --privileged)"
    is "without cgroups" 0 "$(nest --privileged --cgroups=disabled)"
    has "in an ordinary one" "config.json: /linux/namespaces: without root privilege a container needs a user namespace" "$(nest)"
}

image() { tar -C $ROOTFS -cf - . | podman import -q - box >/dev/null; is "an image" 0 $?; }

install_rt "$1"
if [ "$(id -u)" != 0 ]; then
    MANAGER=--user; cd /
    image; life; nested; end "podman rootless"
fi

rootfs
cat >/etc/containers/containers.conf <<CONF
[containers]
netns = "host"
log_driver = "k8s-file"
[engine]
runtime = "rt"
events_logger = "file"
cgroup_manager = "systemd"
runtime_supports_json = ["rt", "crun", "runc"]
runtime_supports_nocgroup = ["rt", "crun"]
[engine.runtimes]
rt = ["$RT"]
CONF
printf '[storage]\ndriver = "vfs"\nrunroot = "/run/containers/storage"\ngraphroot = "/var/lib/containers/storage"\n' >/etc/containers/storage.conf
grep -q ^tester: /etc/subuid || { echo tester:100000:65536 >>/etc/subuid; echo tester:100000:65536 >>/etc/subgid; }
MANAGER=
image; life; nested
mkdir -p /home/tester/.config/containers && printf '[storage]\ndriver = "vfs"\n' >/home/tester/.config/containers/storage.conf && chown -R tester: /home/tester
me=$(realpath "$0")
# As after a login: in a session of the user's.
runuser -u tester -- env RT_CHAPTER_USER=1 XDG_RUNTIME_DIR=/run/user/1000 HOME=/home/tester PATH="$PATH" systemd-run --user --scope -q sh "$me" $RT || failed=$((failed + 1))
end "podman as root"
