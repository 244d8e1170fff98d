# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
# The end of /init in the image of nginx: runs the same command as the bare
# process, as a child, so that its end is told and not a kernel panic.
/usr/sbin/nginx -e stderr -c /etc/nginx/nginx.conf
fail "nginx ended with status $?"
