cd /sys/fs/cgroup
show() { for file in $2; do if [ -e $file ]; then echo "$1 $(cat $file)"; return; fi; done; }
show 'memory     ' 'memory/memory.limit_in_bytes memory.max'
show 'processes  ' 'pids/pids.max pids.max'
if [ -e cpu/cpu.cfs_quota_us ]; then echo "cpu         $(cat cpu/cpu.cfs_quota_us) $(cat cpu/cpu.cfs_period_us)"; else echo "cpu         $(cat cpu.max)"; fi
echo
echo '64 MB of memory are asked for, 16 MB are there:'
dd if=/dev/zero of=/dev/null bs=64M count=1 2>/dev/null
echo "  dd ended with $? (128 + 9: killed by the OOM killer)"
echo 'Twelve processes are asked for, eight are there:'
(for n in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 0.2 & done) 2>/dev/null || echo '  the shell could not fork'
echo 'A loop that never rests gets a fifth of one CPU:'
end=$(($(cut -d. -f1 /proc/uptime) + 2)); while [ $(cut -d. -f1 /proc/uptime) -lt $end ]; do :; done
throttled=$(grep -h nr_throttled cpu/cpu.stat cpu.stat 2>/dev/null | cut -d' ' -f2)
if [ ${throttled:-0} -gt 0 ]; then echo '  it was stopped again and again'; else echo '  nobody stopped it'; fi
