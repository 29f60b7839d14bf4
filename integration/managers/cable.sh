# A network with a default route, for a machine that has none: sourced.
# The cable ends in nothing, but there is a route, so managers find an address to publish ports on.
ip link add eth0 type veth peer name cable
ip address add 10.111.0.2/24 dev eth0
ip link set eth0 up
ip link set cable up
ip route add default via 10.111.0.1
echo 1 > /proc/sys/net/ipv4/ip_forward
echo 'nameserver 10.111.0.1' > /etc/resolv.conf
