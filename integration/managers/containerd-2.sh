#!/bin/sh
# containerd 2, of sid, over rt: as containerd.sh, pods with user namespaces, and mounts that are read-only recursively.
set -eu
. "$(dirname "$0")/checks.sh"
newer=$here/target/newer/sid/containerd/usr/bin
[ -x "$newer/containerd" ] || { echo "$newer is not there: integration/newer.sh sid containerd" >&2; exit 2; }
export PATH="$newer:$PATH"
. "$here/integration/managers/containerd.sh"
