# Stays outside the sandbox and outlives it, to remove what the kernel does not: control groups.
# $1: the script of the anchor. $2: the control group below which all containers are.
set -u
hierarchies=/sys/fs/cgroup
[ -e /sys/fs/cgroup/cgroup.procs ] || hierarchies=$(echo /sys/fs/cgroup/*) # before version 2
for hierarchy in $hierarchies; do mkdir -p "$hierarchy/$2" || exit 1; done

unshare --pid --mount --net --fork --kill-child=KILL --propagation private -- bash -c "$1" anchor
status=$?

for _ in {1..50}; do
  groups=$(find /sys/fs/cgroup -depth -type d \( -name "$2" -o -path "*/$2/*" \))
  [ -z "$groups" ] && exit "$status"
  # shellcheck disable=SC2086  # our own names, without spaces
  rmdir $groups 2>/dev/null || sleep 0.1
done
echo "control groups are left over: $groups" >&2
exit 1
