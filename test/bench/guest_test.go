// SPDX-License-Identifier: Apache-2.0

package main

import "testing"

func TestCgroupPath(t *testing.T) {
	for in, want := range map[string]string{
		"0::/\n":                                "/",
		"12:cpuset:/x\n0::/user.slice/a b\n":    "/user.slice/a b",
		"2:cpu:/\n1:name=systemd:/init.scope\n": "",
	} {
		got, err := cgroupPath(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
	}
}
