cd /dev
echo 'Every container has:'
stat -c '  %n (%t:%T, mode %a)' null zero full random urandom tty
echo 'This one has, too:'
stat -c '  %n (%t:%T, mode %a, owner %u:%g)' my-zero kmsg
echo "Four bytes of my-zero: $(head -c 4 my-zero | od -An -tx1 | xargs)"
(: < kmsg) 2>/dev/null && echo 'kmsg could be opened' || echo 'kmsg is there, but the rules do not let me open it.'
