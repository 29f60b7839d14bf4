#!/bin/sh
# capture.sh DIR   writes the configurations that managers make today to DIR, for src/spec/captured.
#
# Each manager runs over a recorder: a runtime that keeps a copy of config.json and hands on to the real one.
set -eu
kept=$(mkdir -p "${1:?DIR}" && cd "$1" && pwd)
here=$(cd "$(dirname "$0")/../.." && pwd)
if [ -z "${RT_CONTAINED:-}" ]; then
    RUNTIME=${RUNTIME:-runc} "$here/integration/managers/machine.sh" "$here/integration/managers/capture.sh" /tmp/captured >&2 4> "$kept.tar"
    tar -C "$kept" -xf "$kept.tar"
    rm "$kept.tar"
    exit
fi
. "$here/integration/managers/checks.sh"
. "$here/integration/managers/daemons.sh"

# The recorder keeps what goes into `create` under the name that stands in /tmp/next.
cat > /tmp/recorder <<CODE
#!/bin/sh
create= bundle=
for word in "\$@"; do
    case \$before in --bundle|-b) bundle=\$word ;; esac
    case \$word in create|run) create=yes ;; esac
    before=\$word
done
[ -z "\$create" ] || cp "\$bundle/config.json" "$kept/\$(cat /tmp/next)\$(cat /tmp/suffix 2>/dev/null).json"
exec "$runtime" "\$@"
CODE
chmod +x /tmp/recorder
next() { echo "$1" > /tmp/next; }

# Pids that stand in a configuration (docker's hook, a pod's namespaces) must be free where it is tried later.
echo 31000 > /proc/sys/kernel/ns_last_pid
archive box '["sh"]' > /dev/null
archive pause '["sleep", "1000"]' > /dev/null

podman_conf() {
    cat > /etc/containers/containers.conf <<CONF
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
[engine.runtimes]
recorder = ["/tmp/recorder"]
CONF
    printf '[storage]\ndriver = "overlay"\nrunroot = "/run/captured/runroot"\ngraphroot = "/run/captured/graphroot"\n' > /etc/containers/storage.conf
    echo '{ "default": [{ "type": "insecureAcceptAnything" }] }' > /etc/containers/policy.json
    : > /etc/containers/registries.conf
}
podman_conf
podman() { timeout 60 podman --runtime /tmp/recorder "$@"; }
podman import --quiet "$(image)" localhost/box
podman import --quiet --change 'CMD ["sleep", "1000"]' "$(image)" localhost/pause

next podman-pod-infra
podman pod create --name pod --infra-image localhost/pause -p 8080:80 
podman pod start pod
next podman-pod
podman run --rm --pod pod --memory 32m localhost/box true
podman pod rm -f -t 0 pod
next podman-userns
podman run --rm --userns auto --network none localhost/box true
next podman
podman run --rm --network none localhost/box true
next podman-privileged
podman run --rm --privileged --memory 64m --cpus 0.5 --pids-limit 50 --device /dev/null:/dev/mynull --tmpfs /data:size=1m \
    --sysctl net.ipv4.ip_forward=1 -v /tmp:/mnt:ro --ulimit nofile=100:200 --ulimit nproc=999:999 --network none localhost/box true
next podman-readonly
podman run --rm --read-only --tmpfs /data --ulimit nofile=77:77 --ulimit nproc=999:999 --pids-limit 100 --network host localhost/box true

next buildah
container=$(buildah from localhost/box)
buildah run --isolation oci --runtime /tmp/recorder "$container" true
next buildah-volume
mkdir -p /run/captured/volume
buildah run --isolation oci --runtime /tmp/recorder --user 1000:1000 --cap-drop all -v /run/captured/volume:/mnt:ro "$container" true

CONTAINERD_ROOT=/run/captured/containerd
start_containerd /tmp/recorder
ctr -n k8s.io images import "$(archive box '["sh"]')"
ctr -n k8s.io images import "$(archive pause '["sleep", "1000"]')"
"$here/integration/managers/cri_capture.py" /tmp/next

ctr images import "$(archive box '["sh"]')"
next ctr
ctr run --rm --runc-binary /tmp/recorder localhost/box:latest plain true
next ctr-seccomp
ctr run --rm --runc-binary /tmp/recorder --seccomp localhost/box:latest filtered true

start_docker /tmp/recorder --data-root /run/captured/docker
docker load --quiet --input "$(archive box '["sh"]')"
next docker
docker run --rm localhost/box true
next docker-limits
docker run --rm --memory 64m --cpus 0.5 --pids-limit 50 --device /dev/null:/dev/mynull --user 1000:1000 --read-only \
    --tmpfs /data:size=1m --ulimit nofile=100:200 --oom-score-adj 5 --network none localhost/box true

tar -C "$kept" -c . >&4
