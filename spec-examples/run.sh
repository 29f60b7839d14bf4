#!/bin/sh
# run.sh NAME   runs an example with target/release/rt, or with $RUNTIME, and says what it does.
set -eu
cd "$(dirname "$0")"
name=$1
runtime=${RUNTIME:-../target/release/rt}
case $runtime in */*) ;; *) runtime=$(command -v "$runtime") ;; esac
RT=$(cd "$(dirname "$runtime")" && pwd)/${runtime##*/}
export RT

[ -d "$name" ] || { echo "run.sh: $name: no such example; there are:" */ >&2; exit 1; }
./rootfs.sh
if [ -x "$name/run.sh" ]; then exec "$name/run.sh"; fi
[ -n "${QUIET:-}" ] || echo "\$ ${RT##*/} run --bundle spec-examples/$name $name" >&2
exec "$RT" run --bundle "$name" "$name"
