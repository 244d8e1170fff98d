# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash disable=SC2154 # set by /init
# The end of /init in the image of hello: runs the same command as the bare
# process, and ends the guest if the command line says so.
if [ "$end" = idle ]; then
	exec /bin/busybox sh /hello.sh
fi
/bin/busybox sh /hello.sh exit || fail "hello ended with status $?"
/bin/busybox "$end" -f # reboot or poweroff
