try() { if sh -c "$2" 2>/dev/null; then echo "yes  $1"; else echo "no   $1"; fi; }
try 'write to /etc' ': > /etc/new'
try 'write to /tmp, a tmpfs' ': > /tmp/new'
try 'read /data, a read-only bind mount' 'cat /data/config.json > /dev/null'
try 'write to /data' ': > /data/new'
try 'change a kernel parameter' 'echo 1 > /proc/sys/net/ipv4/ip_forward'
try 'read /proc/kcore, which is masked' 'test -n "$(head -c 1 /proc/kcore)"'
try 'mount something' 'mount -t tmpfs x /mnt'
