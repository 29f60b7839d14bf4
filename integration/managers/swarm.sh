#!/bin/sh
# A Swarm of one node over rt: a service that heals, scales and rolls over. Without published ports of services: those
# want IPVS of the kernel.
set -eu
. "$(dirname "$0")/checks.sh"
. "$here/integration/managers/daemons.sh"
start_docker "$runtime"
docker() { timeout -k 1 60 docker "$@"; }
docker load --quiet --input "$(archive box '["sh"]')" > /dev/null
replicas() { docker service ls --filter name="$1" --format '{{.Replicas}}'; }
running() { docker ps --filter label=com.docker.swarm.service.name="$1" -q | wc -l; }
versions() { docker inspect --format '{{index .Config.Env 0}}' $(docker ps -q --filter label=com.docker.swarm.service.name="$1") | sort | uniq -c | tr -s ' \n' '  '; }

expect 'swarm init' 0 '*Swarm initialized*' docker swarm init --advertise-addr 10.111.0.2
expect 'the node' 0 'Ready Active Leader' docker node ls --format '{{.Status}} {{.Availability}} {{.ManagerStatus}}'
expect 'a service with three replicas' 0 '?*' docker service create --detach --quiet --name web --replicas 3 --env VERSION=1 --stop-grace-period 1s \
    --update-delay 0s --restart-delay 0s --no-resolve-image localhost/box sleep 1000
expect_soon 'three of three run' '3/3' replicas web
expect 'service ps' 0 '*Running*Running*Running*' docker service ps --format '{{.CurrentState}}' web
expect 'the runtime of a task' 0 "$runtime_name" sh -c 'docker inspect --format "{{.HostConfig.Runtime}}" $(docker ps -q | head -n 1)'
victim=$(docker ps -q | head -n 1)
expect 'one is killed' 0 '*' docker kill "$victim"
expect_soon 'it heals' '3/3' replicas web
expect_soon 'with another container' '0' sh -c "docker ps -q | grep -c $victim"
expect 'service scale up' 0 '*' docker service scale --detach web=5
expect_soon 'five run' '5/5' replicas web
expect 'service scale down' 0 '*' docker service scale --detach web=2
expect_soon 'two run' '2/2' replicas web
expect_soon 'no more than two' '2' running web
expect 'service update' 0 '*' docker service update --detach --quiet --no-resolve-image --env-rm VERSION --env-add VERSION=2 web
expect_soon 'it rolls over' ' 2 VERSION=2 ' versions web
expect 'service rollback' 0 '*' docker service rollback --detach --quiet web
expect_soon 'it rolls back' ' 2 VERSION=1 ' versions web
expect 'a service that fails' 0 '?*' docker service create --detach --quiet --name broken --restart-max-attempts 1 --restart-delay 0s --no-resolve-image localhost/box sh -c 'exit 3'
expect_soon 'its failure is told' '*non-zero exit (3)*' docker service ps --no-trunc --format '{{.Error}}' broken
expect 'a service of a program that is not there' 0 '?*' docker service create --detach --quiet --name missing --restart-condition none --no-resolve-image localhost/box nosuch
expect_soon 'its error is told' '*executable file not found in $PATH*' docker service ps --no-trunc --format '{{.Error}}' missing
expect 'a service with limits' 0 '?*' docker service create --detach --quiet --name limited --limit-memory 32m --limit-cpu 0.5 --no-resolve-image localhost/box sleep 1000
expect_soon 'one of one runs' '1/1' replicas limited
expect 'its limit' 0 '33554432' sh -c 'docker exec $(docker ps -q --filter name=limited) cat $memory_max'
printf secret | docker secret create word - > /dev/null
expect 'a service with a secret' 0 '?*' docker service create --detach --quiet --name secretive --secret word --no-resolve-image localhost/box sleep 1000
expect_soon 'it runs' '1/1' replicas secretive
expect 'the secret' 0 'secret' sh -c 'docker exec $(docker ps -q --filter name=secretive) cat /run/secrets/word'
expect 'service logs' 0 '*told*' sh -c 'docker service create --detach --quiet --name teller --no-resolve-image localhost/box sh -c "echo told; sleep 1000" > /dev/null; for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.5; timeout -k 1 5 docker service logs teller 2>/dev/null | grep told && break; done'
expect 'service rm' 0 '*' docker service rm web broken missing limited secretive teller
expect_soon 'nothing runs any more' '' docker ps -q
expect 'swarm leave' 0 '*left the swarm*' docker swarm leave --force
stop_docker
stop_containerd
sum
