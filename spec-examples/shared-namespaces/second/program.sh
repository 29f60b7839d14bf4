echo "second: my hostname is $(hostname)"
echo "second: pid 1 is '$(tr '\0' ' ' < /proc/1/cmdline)'"
echo "second: through lo I hear '$(nc 127.0.0.1 7000 < /dev/null)'"
for n in pid net ipc uts; do [ "$(readlink /proc/self/ns/$n)" = "$(readlink /proc/1/ns/$n)" ] && echo "second: $n is shared"; done
[ "$(readlink /proc/self/ns/mnt)" = "$(readlink /proc/1/ns/mnt)" ] || echo 'second: my files are my own'
