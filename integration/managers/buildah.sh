#!/bin/sh
# buildah over rt: builds and runs with --isolation oci, which is how it uses a runtime.
set -eu
. "$(dirname "$0")/checks.sh"
printf '[storage]\ndriver = "overlay"\nrunroot = "/run/containers/storage"\ngraphroot = "/var/lib/containers/storage"\n' > /etc/containers/storage.conf
printf '[containers]\ndefault_ulimits = ["nofile=%s:%s", "nproc=9999:9999"]\n' "$(ulimit -Hn)" "$(ulimit -Hn)" > /etc/containers/containers.conf
[ "$firewall" ] || printf '[network]\nfirewall_driver = "none"\n' >> /etc/containers/containers.conf
echo '{ "default": [{ "type": "insecureAcceptAnything" }] }' > /etc/containers/policy.json
: > /etc/containers/registries.conf
export BUILDAH_ISOLATION=oci BUILDAH_RUNTIME="$runtime"
buildah() { timeout -k 1 60 buildah "$@"; }

base=$(buildah from scratch)
buildah add --quiet "$base" "$(image)" / > /dev/null
buildah config --env PATH=/bin "$base"
expect 'an image from nothing' 0 '*' buildah commit --quiet "$base" localhost/box
buildah rm "$base" > /dev/null
container=$(buildah from --pull-never localhost/box)
run() { buildah run "$@"; }
expect 'run' 0 'hello' run "$container" echo hello
expect_error 'it says nothing more' 0 '' run "$container" true
expect 'an exit code' 1 '' run "$container" false
expect_error 'its exit code is told' '[1-9]*' '*exit status 42*' run "$container" sh -c 'exit 42'
expect_error 'a program that is not there' '[1-9]*' '*executable file not found in $PATH*' run "$container" -- nosuch
expect 'standard input' 0 'typed' sh -c "echo typed | timeout -k 1 60 buildah run $container cat"
expect 'a terminal' 0 '*/dev/pts/0*' sh -c "timeout -k 1 60 script -qec 'buildah run --terminal $container tty' /dev/null | tr -d '\\r'"
expect 'the user' 0 '1000' run --user 1000 "$container" id -u
expect 'the working directory, the environment' 0 '/tmp b' run --workingdir /tmp --env a=b "$container" sh -c 'echo $(pwd) $a'
mkdir -p /tmp/shared; echo shared > /tmp/shared/file
expect 'a volume' 0 'shared' run -v /tmp/shared:/mnt:ro "$container" cat /mnt/file
mkdir -p /tmp/given; echo given > /tmp/given/file
expect_error 'a volume that it labels and gives to the user: it says nothing more' 0 '' run --user 1000 -v /tmp/given:/mnt:z,U "$container" touch /mnt/new
expect 'a mount' 0 'tmpfs' run --mount type=tmpfs,destination=/mnt "$container" stat -f -c %T /mnt
expect 'capabilities' 0 '*0000000000000000' run --cap-drop all "$container" grep CapEff /proc/self/status
expect 'one capability more' 0 '*[1357]??' sh -c "buildah run --cap-add CAP_NET_ADMIN $container grep CapEff /proc/self/status | sed 's/.$//'"
expect 'the seccomp profile' 0 'Seccomp:?2' run "$container" grep Seccomp: /proc/self/status
expect 'the network of the host' 0 'eth0' run --network host "$container" sh -c 'ls /sys/class/net | grep -x eth0'
expect 'no network' 0 '1' run --network none "$container" sh -c 'ls /sys/class/net | wc -l'
expect 'what a run makes stays' 0 '/made' sh -c "buildah run $container touch /made && buildah run $container ls /made"
expect 'rm' 0 '*' buildah rm "$container"

cat > /tmp/Containerfile <<'FILE'
FROM localhost/box AS builder
ARG WORD=none
RUN echo $WORD > /word && mkdir /out && cp /word /out/
RUN --mount=type=cache,target=/cache echo cached > /cache/file && cp /cache/file /out/
FROM localhost/box
COPY --from=builder /out /out
COPY file /
WORKDIR /out
USER 1000
RUN id -u > /tmp/user && cat /tmp/user
USER 0
SHELL ["/bin/sh", "-e", "-c"]
RUN hostname > /out/name && test -s /out/name
ENTRYPOINT ["cat"]
CMD ["word", "file", "/file", "/tmp/user"]
FILE
expect 'build' 0 '*' buildah bud --quiet --build-arg WORD=said -t built -f /tmp/Containerfile /tmp/shared
container=$(buildah from --pull-never localhost/built)
expect 'what was built' 0 'said?cached?shared?1000' run "$container" cat /out/word /out/file /file /tmp/user
buildah rm "$container" > /dev/null
printf 'FROM localhost/box\nRUN exit 9\n' > /tmp/Containerfile
expect_error 'a build that fails' '[1-9]*' '*exit status 9*' buildah bud -f /tmp/Containerfile /tmp/shared
printf 'FROM localhost/box\nRUN nosuch\n' > /tmp/Containerfile
expect_error 'a build that calls what is not there' '[1-9]*' '*not found*' buildah bud -f /tmp/Containerfile /tmp/shared
printf 'FROM localhost/box\nRUN head -c 1048576 /dev/zero > /big && wc -c < /big && cat /proc/self/limits | grep -c open\n' > /tmp/Containerfile
expect 'limits of a build' 0 '*1048576*1*' buildah bud --memory 64m --ulimit nofile=77:77 -f /tmp/Containerfile /tmp/shared
expect_nothing_left
sum
