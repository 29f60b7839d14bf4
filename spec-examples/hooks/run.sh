#!/bin/sh
# Every hook writes one line to a file; here is the file.
set -eu
cd "$(dirname "$0")"
log=/tmp/rt-example-hooks/log
mkdir -p "${log%/*}"
: > $log
trap 'rm -rf "${log%/*}"' EXIT
"$RT" run --bundle . hooks
cat $log
