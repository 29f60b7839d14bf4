#!/bin/sh
# Runs as a user without any privilege: yourself, or user 1000 when you are root.
set -eu
cd "$(dirname "$0")"
if [ "$(id -u)" = 0 ]; then
    home=$(mktemp -d); chown 1000:1000 "$home"
    exec setpriv --reuid=1000 --regid=1000 --clear-groups env HOME="$home" XDG_RUNTIME_DIR="$home" ./run.sh
fi
# The config maps root to user 1000; anybody else needs it with the own ids.
bundle=$(mktemp -d)
trap 'rm -rf "$bundle"' EXIT
cp program.sh "$bundle"
sed -e "s|\"hostID\": 1000|\"hostID\": $(id -u)|" -e "s|\.\./rootfs|$(cd .. && pwd)/rootfs|" config.json > "$bundle/config.json"
"$RT" run --bundle "$bundle" rootless
