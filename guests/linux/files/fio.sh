#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
# The app fio, the same file in the microVM and in the process's root. With a job (the
# argument, or the variable ukprobe_fio) it does that once it is ready, and prints fio's
# JSON; then, and without one, it idles.
# shellcheck disable=SC2154 # from the kernel, or from who starts the process
job=${1:-$ukprobe_fio}

# fail WHAT... says what went wrong and ends the app.
fail() {
	echo "ukprobe-fio: FAILED: $*"
	exit 1
}

# find_disk loads the modules of the disk, where there are any, and has its node made.
find_disk() {
	if [ -e /lib/disk-modules/order ]; then
		while read -r module; do
			# Those that the network has needed too are there already.
			/bin/busybox insmod "/lib/disk-modules/$module" 2>/dev/null
		done </lib/disk-modules/order
	fi
	[ -b "$file" ] || /bin/busybox mount -t devtmpfs dev /dev 2>/dev/null
	[ -b "$file" ] || fail "there is no disk $file"
}

# write_jobs writes what fio is to do.
write_jobs() {
	engine=psync
	[ "$depth" = 1 ] || engine=libaio
	/bin/busybox cat <<-END
		[global]
		filename=$file
		direct=1
		ioengine=$engine
		iodepth=$depth
		thread=1
		norandommap=1
		stonewall=1
		disk_util=0
		clat_percentiles=0
		lat_percentiles=1
		percentile_list=50:90:99:99.9
	END
	old_ifs=$IFS
	IFS=,
	# shellcheck disable=SC2086 # split at the commas is what is wanted
	set -- $sizes
	IFS=$old_ifs
	for size in "$@"; do
		for kind in randread read randwrite write fsync; do
			echo "[$kind-$size]"
			echo "bs=$size"
			case $kind in
			fsync)
				# One at a time: of libaio's flushes fio tells wrong latencies.
				printf '%s\n' rw=randwrite fsync=1 ioengine=psync iodepth=1
				;;
			*) echo "rw=$kind" ;;
			esac
			if [ "$requests" = 0 ]; then
				echo "time_based=1"
				echo "runtime=${runtime}ms"
				echo "ramp_time=${warmup}ms"
			else
				echo "io_size=$((requests * size))"
			fi
		done
	done
}

if [ -n "$job" ]; then
	old_ifs=$IFS
	IFS=:
	# shellcheck disable=SC2086 # split at the colons is what is wanted
	set -- $job
	IFS=$old_ifs
	file=$1 sizes=$2 runtime=$3 warmup=$4 requests=$5 depth=$6
	case $file in /dev/*) find_disk ;; esac
	write_jobs >/tmp/jobs || fail "write its jobs"
fi
/usr/bin/fio --version || fail "it does not start"
echo "ukprobe-fio: ready"
if [ -n "$job" ]; then
	/bin/busybox sleep 2
	/usr/bin/fio --eta=never --output-format=json --output=/tmp/results /tmp/jobs || fail "it ended with status $?"
	echo "ukprobe-fio: results"
	# In lines that are neither too many for who looks at the console nor too long.
	long=
	while read -r line; do
		long="$long $line"
		[ ${#long} -lt 150 ] || {
			echo "$long"
			long=
		}
	done </tmp/results
	echo "$long"
	echo "ukprobe-fio: over"
fi
exec /bin/busybox sleep infinity
