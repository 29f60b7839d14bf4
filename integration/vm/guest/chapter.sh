# chapter.sh: what the chapters in the guest have in common; they read it with `.`.
#   RT       the runtime under test, which is copied to /usr/local/bin/rt
#   $B       the bundle that `bundle` makes
set -u
passed=0 failed=0
RT=/usr/local/bin/rt ROOTFS=/tmp/rootfs B=/tmp/bundle CG=/sys/fs/cgroup

[ "$(id -u)" = 0 ] && grep -qE '(vm\.kind|rt\.guest)=' /proc/cmdline ||
    [ "${RT_CHAPTER_USER:-}" ] || { echo "$0: runs as root in the guest only" >&2; exit 125; }

# is NAME EXPECTED ACTUAL
is() {
    if [ "$2" = "$3" ]; then passed=$((passed + 1)); else
        failed=$((failed + 1)); printf 'FAIL %s: expected "%s", got "%s"\n' "$1" "$2" "$3"; fi
}
# has NAME WORDS TEXT: the text contains the words
has() { case $3 in *"$2"*) passed=$((passed + 1)) ;; *) failed=$((failed + 1)); printf 'FAIL %s: no "%s" in "%s"\n' "$1" "$2" "$3" ;; esac; }
# until COMMAND: tries it for ten seconds
until_() { i=0; until eval "$1"; do sleep 0.1; i=$((i + 1)); [ $i -lt 100 ] || return 1; done; }
# install_rt BINARY
install_rt() { [ "$1" -ef $RT ] || install -m 755 "$1" $RT; }
# rootfs: a root file system from busybox
rootfs() {
    mkdir -p $ROOTFS/bin $ROOTFS/proc $ROOTFS/sys $ROOTFS/dev $ROOTFS/tmp $ROOTFS/etc
    chmod 755 $ROOTFS
    cp "$(command -v busybox)" $ROOTFS/bin/ && for applet in $(busybox --list); do ln -f $ROOTFS/bin/busybox "$ROOTFS/bin/$applet"; done 2>/dev/null
    echo 'root:x:0:0:root:/:/bin/sh' > $ROOTFS/etc/passwd
}
# bundle JQ-FILTER ARG...: a bundle in $B
bundle() {
    filter=$1; shift
    mkdir -p "$B" && rm -f "$B/config.json" && (cd "$B" && $RT spec ${SPEC_FLAGS:-}) || exit 1
    jq ".process.args = \$ARGS.positional | .process.terminal = false | .root = {path: \"$ROOTFS\"} | $filter" \
        "$B/config.json" --args -- "$@" >"$B/new" && mv "$B/new" "$B/config.json"
}
field() { $RT state "$1" | jq -r ".$2"; }
# end NAME: the sum, and the exit code
end() { echo "$1: $passed passed, $failed failed"; [ $failed = 0 ]; exit; }
