#!/bin/sh
# `docker build` with BuildKit, which knows no runtime but a runc in dockerd's PATH: here that is a link.
set -eu
. "$(dirname "$0")/checks.sh"
. "$here/integration/managers/daemons.sh"
mkdir /tmp/bin /tmp/build
ln -s "$runtime" /tmp/bin/runc
export PATH=/tmp/bin:$PATH DOCKER_BUILDKIT=1
start_docker "$runtime"
# build [FLAGS...] 3<<END   what descriptor 3 says
build() {
    cat <&3 > /tmp/build/Dockerfile
    timeout -k 1 60 docker build --progress=plain "$@" /tmp/build 2>&1
}
docker load --input "$(archive box '["sh"]')" > /dev/null
docker tag localhost/box:latest box

expect 'build, in two stages' 0 '*naming to docker.io/library/built*' build -t built 3<<'END'
FROM box AS first
RUN echo made > /made
WORKDIR /new/place
USER 5
RUN echo "$(id -u) $(pwd)" > /tmp/where
FROM box
COPY --from=first /made /tmp/where /
CMD ["cat", "/made", "/where"]
END
expect 'run what was built' 0 'made?5 /new/place' timeout -k 1 60 docker run --rm built
expect 'a cache' 0 '*DONE*' build --target kept 3<<'END'
FROM box AS kept
RUN --mount=type=cache,target=/cache echo cached > /cache/file
END
expect 'it is kept' 0 '*cached*' build 3<<'END'
FROM box
RUN --mount=type=cache,target=/cache cat /cache/file
END
expect 'a build that fails' 1 '*exit code: 9*' build 3<<'END'
FROM box
RUN exit 9
END
expect 'a program that is not there' 1 '*executable file not found in $PATH*' build 3<<'END'
FROM box
RUN ["nosuch"]
END
expect 'nothing is left of the state' 0 '' find /run /var/lib/docker -name state.json
stop_docker
stop_containerd
sum
