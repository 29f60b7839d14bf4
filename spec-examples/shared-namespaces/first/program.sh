echo 'first: waiting'
(while :; do echo 'hello from the first' | nc -l -p 7000; done) &
exec sleep 1000
