# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash disable=SC2034 # what is set here is used by /init
# Functions of /init that read the kernel's command line. They use the shell's
# builtins only: a fork is dear in a guest whose boot is being timed.

# fail WHAT... says what went wrong and ends the guest: with the word reboot=t
# and QEMU's -no-reboot the VMM exits too.
fail() {
	echo "ukprobe-init: FAILED: $*"
	/bin/busybox reboot -f
	exit 1
}

# read_cmdline WORD... sets, from the words of a command line:
#   ip       "" or the value of ip=
#   end      idle (the default), reboot or poweroff, the value of ukprobe.end=
read_cmdline() {
	ip=
	end=idle
	for word in "$@"; do
		case $word in
		ip=*) ip=${word#ip=} ;;
		ukprobe.end=*) end=${word#ukprobe.end=} ;;
		esac
	done
	case $end in
	idle | reboot | poweroff) ;;
	*) fail "ukprobe.end=$end: want idle, reboot or poweroff" ;;
	esac
}

# parse_ip VALUE splits the value of ip=, whose syntax is the kernel's
# (Documentation/admin-guide/nfs/nfsroot.rst):
#   CLIENT:SERVER:GATEWAY:NETMASK:HOSTNAME:DEVICE:AUTOCONF[:...]
# and sets client, gateway, netmask, hostname, device and autoconf. SERVER is of
# no use here. Of the ways of automatic configuration there is dhcp; it needs no
# addresses.
parse_ip() {
	set -f
	old_ifs=$IFS
	IFS=:
	# shellcheck disable=SC2086 # split at the colons is what is wanted
	set -- $1
	IFS=$old_ifs
	client=$1 gateway=$3 netmask=$4 hostname=$5 device=${6:-eth0} autoconf=${7:-off}
	case $autoconf in
	off | none) ;;
	dhcp) return ;;
	*) fail "ip=: automatic configuration \"$7\" is not supported: give an address and off, or dhcp" ;;
	esac
	is_ipv4 "$client" || fail "ip=: client address \"$client\" is not an IPv4 address"
	is_ipv4 "$netmask" || fail "ip=: netmask \"$netmask\" is not an IPv4 netmask"
	[ -z "$gateway" ] || is_ipv4 "$gateway" || fail "ip=: gateway \"$gateway\" is not an IPv4 address"
}

# is_ipv4 TEXT says whether TEXT is four decimal numbers up to 255.
is_ipv4() {
	case $1 in
	*[!0-9.]* | *.*.*.*.* | .* | *. | *..*) return 1 ;;
	*.*.*.*) ;;
	*) return 1 ;;
	esac
	quads=$1.
	while [ -n "$quads" ]; do
		quad=${quads%%.*}
		quads=${quads#*.}
		[ ${#quad} -le 3 ] && [ "$quad" -le 255 ] || return 1
	done
}
