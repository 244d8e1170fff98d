#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
# shellcheck disable=SC2154 # udhcpc sets them
# What udhcpc runs when it has learned something: bound is the one that counts.
[ "$1" = bound ] || exit 0
/bin/busybox ifconfig "$interface" "$ip" netmask "$subnet" up || exit 1
[ -z "$router" ] || /bin/busybox route add default gw "${router%% *}"
