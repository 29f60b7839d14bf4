#!/bin/sh
# files.sh RUNTIME TESTS [IMAGE [FOLDER...]]   puts what the guest needs of the project, and more folders, into a disk
# image, at the project's own paths.
set -eu
here=$(cd "$(dirname "$0")" && pwd -P)
project=$(cd "$here/../.." && pwd -P)
runtime=$(realpath "$1") tests=$(realpath "$2") image=$(realpath "${3:-$project/target/vm/files.img}")
cd "$project"
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
chmod 755 "$tree"
mkdir "$tree/bin"
cp -a --parents spec-examples Cargo.toml integration/contained.sh integration/vm integration/managers src/spec/captured docs "$tree/"
for source in integration/*/*.c; do   # the guest has no compiler
    mkdir -p "$tree/${source%/*}"
    cc -static -O1 -pthread -o "$tree/${source%.c}" "$source"
done
cp "$runtime" "$tree/bin/rt"
cp "$tests" "$tree/bin/integration"
[ $# -le 3 ] || { shift 3; cp -a "$@" "$tree/"; }
mke2fs -q -t ext4 -O ^has_journal -m 0 -L project -d "$tree" "$image.new" 1G > /dev/null
mv "$image.new" "$image"
