#!/bin/sh
# run.sh [TEST...]   builds the end-to-end tests here, and runs them in a throw-away view of the machine.
#   RUNTIME=crun     another runtime than target/release/rt
#   RT_MODE=systemd  with --systemd-cgroup, where systemd is pid 1 (systemd-v1.sh)
set -eu
cd "$(dirname "$0")/.."
runtime=${RUNTIME:-target/release/rt}
case $runtime in */*) ;; *) runtime=$(command -v "$runtime") || { echo "run.sh: $RUNTIME: not found" >&2; exit 1; } ;; esac
case $runtime in /*) ;; *) runtime=$PWD/$runtime ;; esac
sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
view_of=integration/contained.sh
[ "${RT_MODE:-}" != systemd ] || view_of=integration/systemd-v1.sh
case ${runtime##*/} in crun) view=v1 ;; *) view=host ;; esac   # crun refuses to see cgroup v1 and v2 at once

build=$(cargo test --quiet --no-run --test integration --message-format=json)
tests=$(printf '%s\n' "$build" | sed -n 's/.*"executable":"\([^"]*\/integration-[^"]*\)".*/\1/p' | tail -n 1)
contained() {
    $sudo env PATH="$PWD/target/criu:$PATH" RUST_BACKTRACE=0 RUNTIME="$runtime" CGROUP_VIEW="${CGROUP_VIEW:-$view}" \
        CGROUP_MORE="${CGROUP_MORE:-}" LINK="${LINK:-}" RUNTIME_TOOLS="${RUNTIME_TOOLS:-}" \
        RT_MODE="${RT_MODE:-}" "$view_of" timeout 900 "$tests" "$@"
}

# Reloads of systemd disturb others: they are made alone, or when asked for by name.
case "$*" in ''|*units*|*outlive*) ;; *) set -- "$@" --skip limits_outlive ;; esac
[ $# -eq 0 ] || { contained --test-threads "${TEST_THREADS:-4}" "$@"; exit; }
# Races that spin, and crowds: alone, or on two cores everything else runs out of time.
contained --test-threads 1 security::races sixty_four_parallel limits_outlive
contained --test-threads "${TEST_THREADS:-4}" --skip security::races --skip sixty_four_parallel --skip limits_outlive
