#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the systemd of a tree as the first process of a host that shares nothing with this one but its kernel and its network.
# In control groups of its own, which are below those of this host. Usage: boot.sh TREE GROUP
set -eu
tree=$1
group=$2

if [ "${3-}" != enclosed ]; then
	for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/*; do
		[ -e "$hierarchy/cgroup.procs" ] || continue
		mkdir "$hierarchy/$group"
		# Of version 1, a group of these has nothing to begin with.
		for file in cpuset.cpus cpuset.mems; do
			[ ! -e "$hierarchy/$group/$file" ] || cat "$hierarchy/$file" >"$hierarchy/$group/$file"
		done
		echo $$ >"$hierarchy/$group/cgroup.procs"
	done
	exec unshare --mount --pid --cgroup --ipc --uts --fork --kill-child "$0" "$tree" "$group" enclosed
fi

mount --bind "$tree" "$tree"
cd "$tree"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t tracefs tracefs sys/kernel/tracing
mount -t tmpfs tmpfs sys/fs/cgroup
while IFS=: read -r _ controllers _; do
	folder=sys/fs/cgroup/${controllers#name=}
	case $controllers in
	'')
		[ "$(wc -l </proc/self/cgroup)" = 1 ] || folder=sys/fs/cgroup/unified
		set -- -t cgroup2
		;;
	name=*) set -- -t cgroup -o "none,$controllers" ;;
	*) set -- -t cgroup -o "$controllers" ;;
	esac
	mkdir -p "$folder"
	mount "$@" cgroup "$folder"
done </proc/self/cgroup
for folder in run tmp dev; do
	mount -t tmpfs tmpfs $folder
done
for device in null zero full random urandom tty; do
	touch dev/$device
	mount --bind /dev/$device dev/$device
done
# What PrivateDevices= takes over.
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mkdir -p old
pivot_root . old
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin sh -c 'umount -l /old && exec /lib/systemd/systemd'
