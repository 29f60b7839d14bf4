#!/bin/sh
# An interactive shell. Without a terminal (make examples) a short dialogue is typed on a terminal of `script`.
set -eu
cd "$(dirname "$0")"
if [ -t 0 ]; then exec "$RT" run --bundle . shell; fi
printf 'echo "I am $(hostname), pid $$, on $(tty)"\nexit 3\n' > /tmp/typed
script --quiet --return --echo never --command "$RT run --bundle . shell" /dev/null < /tmp/typed | tr -d '\r' | grep -o '^I am.*' || true
