#!/bin/sh
# files.sh RUNTIME TESTS [IMAGE [FOLDER...]]   puts what the guest needs of the project, and more folders, into a disk
# image, at the project's own paths.
set -eu
here=$(cd "$(dirname "$0")" && pwd -P)
project=$(cd "$here/../.." && pwd -P)
image=${3:-$project/target/vm/files.img}
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
chmod 755 "$tree"
mkdir -p "$tree/bin" "$tree/integration"
cp -a "$project/spec-examples" "$project/Cargo.toml" "$tree/"
cp -a "$project/integration/contained.sh" "$project/integration/managers" "$here" "$tree/integration/"
cp "$1" "$tree/bin/rt"
cp "$2" "$tree/bin/integration"
[ $# -le 3 ] || { shift 3; cp -a "$@" "$tree/"; }
mke2fs -q -t ext4 -O ^has_journal -m 0 -L project -d "$tree" "$image.new" 1G > /dev/null
mv "$image.new" "$image"
