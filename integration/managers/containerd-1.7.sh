#!/bin/sh
# containerd 1.7, of trixie, over rt: as containerd.sh, and pods with user namespaces.
set -eu
. "$(dirname "$0")/checks.sh"
newer=$here/target/newer/trixie/containerd/usr/bin
[ -x "$newer/containerd" ] || { echo "$newer is not there: integration/newer.sh trixie containerd" >&2; exit 2; }
export PATH="$newer:$PATH"
. "$here/integration/managers/containerd.sh"
