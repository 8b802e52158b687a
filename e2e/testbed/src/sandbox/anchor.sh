# The first process of the sandbox. The kernel ends everything in here when this ends, and this
# ends when its standard input does: with the program that holds the other end, however that dies.
set -eu
read -r process _ </proc/self/stat # as the host sees it: /proc is still the host's
mount -t proc proc /proc
mount --make-rshared /
# What a node writes outside its own folder goes to memory, and away with this process.
for folder in /run /var/lib /var/log; do mount -t tmpfs -o mode=0755 sandbox "$folder"; done
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
echo "$process"
# Bash collects the children that others left behind while it waits here.
while read -r _; do :; done
