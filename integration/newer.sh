#!/bin/sh
# newer.sh SUITE PACKAGE   puts a package of a newer Debian beside the system, at target/newer/SUITE/PACKAGE: no library of
# its own comes with it, so it is for programs that need an old libc only. Says nothing when it is there.
set -eu
cd "$(dirname "$0")/.."
dir=$PWD/target/newer place=$PWD/target/newer/$1/$2
[ ! -d "$place" ] || exit 0
integration/need.sh ca-certificates debian-archive-keyring dpkg
mkdir -p "$dir/$1"
exec 9> "$dir/lock"
flock 9
[ ! -d "$place" ] || exit 0
echo "fetching $2 of $1 into target/newer" >&2
. integration/vm/apt.sh
rm -rf "$place.new"
unpack "$1" "$2" "$place.new"
mv "$place.new" "$place"
