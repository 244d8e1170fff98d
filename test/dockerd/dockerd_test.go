// SPDX-License-Identifier: Apache-2.0

package dockerd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/client"
)

// host is what the engine must leave as it was.
func host(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, file := range []string{"/proc/net/route", "/proc/net/dev", "/proc/self/mountinfo", "/proc/sys/net/ipv4/ip_forward", "/proc/net/ip_tables_names"} {
		data, err := os.ReadFile(file)
		if err != nil {
			out[file] = "absent"
			continue
		}
		out[file] = string(data)
		if file == "/proc/net/dev" { // its counters run on
			out[file] = interfaces(string(data))
		}
	}
	for _, pattern := range []string{"/run/docker*", "/run/containerd*", "/etc/docker/*", "/var/lib/docker*", "/sys/fs/cgroup/*"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		out[pattern] = strings.Join(names, " ")
	}
	return out
}

func interfaces(text string) string {
	var names []string
	for line := range strings.Lines(text) {
		if name, _, found := strings.Cut(line, ":"); found {
			names = append(names, strings.TrimSpace(name))
		}
	}
	return strings.Join(names, " ")
}

// TestEngineLeavesNothing starts an engine, asks it, ends it in both ways, and looks
// at what it could have changed of the host.
func TestEngineLeavesNothing(t *testing.T) {
	for _, how := range []string{"stopped", "killed"} {
		before := host(t)
		t.Run(how, func(t *testing.T) {
			e := Start(t, Options{})
			c, err := client.New(client.WithHost(e.Host))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			info, err := c.Info(t.Context(), client.InfoOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if info.Info.CgroupDriver != "cgroupfs" || !strings.HasPrefix(info.Info.DockerRootDir, e.dir) {
				t.Errorf("cgroup driver %s, root %s", info.Info.CgroupDriver, info.Info.DockerRootDir)
			}
			if how == "killed" {
				e.Kill()
			}
		})
		if diff := cmp.Diff(before, host(t)); diff != "" {
			t.Errorf("%s, the host has changed (-before +after):\n%s", how, diff)
		}
	}
}
