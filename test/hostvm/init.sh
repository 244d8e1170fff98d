#!/bin/busybox sh
# shellcheck shell=dash
# SPDX-License-Identifier: Apache-2.0
# PID 1 of the hostvm: reaches the outer machine's files, loads modules, runs
# the command and powers off. It stays in the initramfs; the command gets a
# mount namespace of its own, rooted in an overlay over the outer root.
export PATH=/bin:/sbin
/bin/busybox --install -s /bin
ln -s /bin/busybox /sbin/modprobe # what the kernel calls to load a module

say() { echo "hostvm: $*" >/dev/console; }
die() {
	say "$*"
	poweroff -f
	sleep 60
}

mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
for module in /early/*.ko; do
	insmod "$module" || die "cannot load $module"
done
p9=trans=virtio,version=9p2000.L,msize=512000
mount -t 9p -o "ro,$p9,cache=loose" outer /host || die "cannot mount the outer root"
mount -t 9p -o "rw,$p9,cache=none" ctl /ctl || die "cannot mount the control folder"
# shellcheck source=/dev/null
. /ctl/settings # MODULES, PROJECT, HAS_OUT, INTERACTIVE, ROWS, COLUMNS

# The command's root: the outer one, under a layer that is thrown away.
mount -t tmpfs -o mode=755,size=75% rw /rw
mkdir /rw/upper /rw/work
mount -t overlay -o lowerdir=/host,upperdir=/rw/upper,workdir=/rw/work root /root || die "cannot mount the overlay"

# Modules: all of the kernel's, for the kernel's own requests and the command.
mount --bind "/host$MODULES" /lib/modules
release=$(uname -r)
mkdir -p "/root/lib/modules/$release"
mount --bind "/host$MODULES/$release" "/root/lib/modules/$release"
for module in virtio_net tun tap bridge veth vhost_net kvm kvm_amd \
	sch_ingress sch_fq_codel cls_bpf act_bpf cls_u32; do
	modprobe "$module" || say "no module $module"
done

mount -t proc proc /root/proc
mount -t sysfs sys /root/sys
mount -t devtmpfs dev /root/dev
mkdir -p /root/dev/pts /root/dev/shm
mount -t devpts -o ptmxmode=666,mode=620,gid=5 devpts /root/dev/pts
mount -t tmpfs -o mode=1777 shm /root/dev/shm
ln -sf /proc/self/fd /root/dev/fd
ln -sf fd/0 /root/dev/stdin
ln -sf fd/1 /root/dev/stdout
ln -sf fd/2 /root/dev/stderr
mount -t tracefs tracefs /root/sys/kernel/tracing
mount -t debugfs debugfs /root/sys/kernel/debug
mount -t bpf bpf /root/sys/fs/bpf
mount -t cgroup2 cgroup2 /root/sys/fs/cgroup
sed 's/[^ ]*/+&/g' /root/sys/fs/cgroup/cgroup.controllers >/root/sys/fs/cgroup/cgroup.subtree_control
mount -t tmpfs -o mode=755 run /root/run
mkdir -p /root/run/lock /root/run/netns /root/run/hostvm
mount --bind /ctl /root/run/hostvm
mount --bind "/host$PROJECT" "/root$PROJECT"
if [ "$HAS_OUT" = 1 ]; then
	mkdir -p /root/out
	mount -t 9p -o "rw,$p9,cache=mmap" out /root/out || die "cannot mount /out"
fi
ip link set lo up
hostname hostvm

# More than a login shell's limits, as a service manager gives to root.
ulimit -l unlimited
ulimit -n 65536
ulimit -c 0

cut -d' ' -f1 /proc/uptime >/ctl/up

# mount --move and chroot, as switch_root does: the command is not "chrooted"
# for the kernel, so that user namespaces work.
enter='cd /root && mount --move . / && exec chroot . /bin/sh /run/hostvm/command'
if [ "$INTERACTIVE" = 1 ]; then
	stty rows "$ROWS" cols "$COLUMNS" </dev/hvc0
	setsid -c unshare -m sh -c "$enter" </dev/hvc0 >/dev/hvc0 2>&1
else
	for name in /sys/class/virtio-ports/*/name; do
		[ "$(cat "$name")" = hostvm.stdout ] && port=/dev/$(basename "$(dirname "$name")")
	done
	[ -n "$port" ] || die "no port for the output"
	unshare -m sh -c "$enter" </dev/null >"$port" 2>&1
fi
status=$?
sync
echo "$status" >/ctl/status.new && mv /ctl/status.new /ctl/status
umount /root/out 2>/dev/null
poweroff -f
sleep 60
