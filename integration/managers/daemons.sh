# Starts the daemons of Docker and containerd in the throw-away machine, and makes images for them: sourced.

# archive NAME COMMAND...   an image as `docker save` writes it: the busybox layer, and a command in JSON
archive() {
    name=$1 command=$2
    layer=$(image)
    folder=/tmp/archive-$name
    [ -e "$folder.tar" ] || {
        mkdir -p "$folder"
        ln "$layer" "$folder/layer.tar"
        printf '{"architecture":"%s","os":"linux","config":{"Env":["PATH=/bin"],"Cmd":%s},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
            "$(dpkg --print-architecture)" "$command" "$(sha256sum "$layer" | cut -d' ' -f1)" > "$folder/config.json"
        echo "[{\"Config\":\"config.json\",\"RepoTags\":[\"localhost/$name:latest\"],\"Layers\":[\"layer.tar\"]}]" > "$folder/manifest.json"
        tar -C "$folder" -cf "$folder.tar" manifest.json config.json layer.tar
    }
    echo "$folder.tar"
}

# start_docker RUNTIME FLAGS...   dockerd with RUNTIME as its default, as docs/drop-ins/daemon.json says it; its log is /var/log/dockerd
start_docker() {
    named=${1##*/} default=$1; shift
    [ -e /run/containerd/containerd.sock ] || start_containerd "$default"
    case $named in
        runc) ;;
        *) sed "s|@BINDIR@/rt|$default|; s|\"rt\"|\"$named\"|" "$here/docs/drop-ins/daemon.json" > /etc/docker/daemon.json ;;
    esac
    run_docker "$@"
}

# run_docker FLAGS...
run_docker() {
    dockerd --containerd /run/containerd/containerd.sock --exec-opt native.cgroupdriver="$driver" $([ "$firewall" ] || echo --iptables=false --ip6tables=false) \
        --default-ulimit nofile=1024:"$(ulimit -Hn)" --storage-driver overlay2 "$@" > /var/log/dockerd 2>&1 &
    docker_pid=$!
    soon docker version || { echo "dockerd does not answer"; tail -n 20 /var/log/dockerd; exit 1; }
}

stop_docker() {
    kill "$docker_pid"
    wait "$docker_pid" || true
}

# start_containerd RUNTIME   containerd, whose CRI handler `under-test` is RUNTIME, as docs/drop-ins says it; its log is /var/log/containerd
start_containerd() {
    case $(containerd --version) in
        *' v2.'* | */v2' '*)
            cri="plugins.'io.containerd.cri.v1.runtime'" drop_in=containerd-2.toml plugins='bin_dirs = ["/usr/lib/cni"]'
            printf '%s\n' 'version = 3' "[plugins.'io.containerd.cri.v1.images'.pinned_images]" '  sandbox = "localhost/pause:latest"' ;;
        *)
            cri='plugins."io.containerd.grpc.v1.cri"' drop_in=containerd.toml plugins='bin_dir = "/usr/lib/cni"'
            printf '%s\n' 'version = 2' "[$cri]" '  sandbox_image = "localhost/pause:latest"' ;;
    esac > /etc/containerd/config.toml
    # Each table once: what follows the header of the CRI's own table belongs to it.
    [ $drop_in = containerd.toml ] || echo "[$cri]" >> /etc/containerd/config.toml
    cat >> /etc/containerd/config.toml <<CONF
  restrict_oom_score_adj = true
  [$cri.cni]
    $plugins
    conf_dir = "/etc/cni/net.d"
  [$cri.containerd]
    default_runtime_name = "under-test"
[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"
CONF
    sed "/^version/d; s|runtimes.rt|runtimes.under-test|; s|@BINDIR@/rt|$1|" "$here/docs/drop-ins/$drop_in" >> /etc/containerd/config.toml
    [ "$driver" = cgroupfs ] || echo '    SystemdCgroup = true' >> /etc/containerd/config.toml
    cat > /etc/cni/net.d/10-bridge.conflist <<CONF
{ "cniVersion": "0.4.0", "name": "pods", "plugins": [
  { "type": "bridge", "bridge": "pods0", "isGateway": true, "ipMasq": $([ "$firewall" ] && echo true || echo false),
    "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.112.0.0/16" }]], "routes": [{ "dst": "0.0.0.0/0" }] } },
  { "type": "portmap", "capabilities": { "portMappings": true } } ] }
CONF
    containerd ${CONTAINERD_ROOT:+--root "$CONTAINERD_ROOT"} > /var/log/containerd 2>&1 &
    containerd_pid=$!
    soon ctr version || { echo "containerd does not answer"; tail -n 20 /var/log/containerd; exit 1; }
}

stop_containerd() {
    kill "$containerd_pid"
    wait "$containerd_pid" || true
}
