#!/bin/sh
# containerd 1.7, of trixie, over rt: as containerd.sh, and pods with user namespaces.
set -eu
. "$(dirname "$0")/checks.sh"
prefer_newer trixie containerd
. "$here/integration/managers/containerd.sh"
