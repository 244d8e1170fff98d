#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
# The app hello, the same file in the microVM and in the process's root:
# prints its line, then sleeps without using a CPU, or ends if told "exit".
echo "ukprobe-hello: ready"
[ "$1" = exit ] || exec /bin/busybox sleep infinity
