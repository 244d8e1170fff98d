#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
# The app mysql, the same file in the microVM and in the process's root: a data
# folder of an earlier start goes first, so that all starts are alike.
/bin/busybox rm -rf /var/lib/mysql
/bin/busybox mkdir /var/lib/mysql
exec /usr/sbin/mariadbd --defaults-file=/etc/mysql/my.cnf
