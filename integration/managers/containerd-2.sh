#!/bin/sh
# containerd 2, of sid, over rt: as containerd.sh, pods with user namespaces, and mounts that are read-only recursively.
set -eu
. "$(dirname "$0")/checks.sh"
prefer_newer sid containerd
. "$here/integration/managers/containerd.sh"
