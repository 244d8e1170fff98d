// SPDX-License-Identifier: Apache-2.0

package system

import (
	"strings"
	"testing"

	"github.com/ukprobe/ukprobe/guests/linux"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
)

// The app fio is told what to do with its disk by a word, or as its arguments, and only if
// it is to do something.
func TestFioJob(t *testing.T) {
	s := matrix.DefaultSettings()
	s.Load.BlockBytes, s.Load.Requests = []int{512, 4096}, 7
	withRoot := s
	withRoot.Kernel, withRoot.Disk = "/k", "/root.raw"
	const job = ":512,4096:10000:2000:7:1"
	for name, tt := range map[string]struct {
		system   System
		settings matrix.Settings
		want     string
	}{
		"linux":                {&Linux{}, s, "ukprobe_fio=/dev/vda" + job},
		"lupine":               {&Lupine{}, s, "ukprobe_fio=/dev/vda" + job},
		"after the root's":     {&Lupine{}, withRoot, "root=/dev/vda rw ukprobe_fio=/dev/vdb" + job},
		"docker, as arguments": {&Docker{}, s, "/bin/busybox sh /fio.sh /scratch" + job},
	} {
		w := Want{App: linux.Fio, Platform: qemuPlatform, Settings: tt.settings, Scratch: true}
		b := tt.system.Describe(w)
		if b.Scratch == nil || *b.Scratch != tt.settings.Scratch {
			t.Errorf("%s: scratch disk %v", name, b.Scratch)
		}
		line, err := tt.system.CommandLine(b, nil)
		if err != nil || !strings.HasSuffix(line, tt.want) {
			t.Errorf("%s: %q, %v; want …%q", name, line, err, tt.want)
		}
		w.Scratch = false
		if b := tt.system.Describe(w); b.Scratch != nil || strings.Contains(b.Cmdline, "ukprobe_fio") || strings.Contains(b.Cmdline, "fio.sh") {
			t.Errorf("%s without a job: %q, %v", name, b.Cmdline, b.Scratch)
		}
	}
	// The kernel gives a word with a dot to nobody.
	if word := (linux.FioJob{File: "/dev/vda", BlockBytes: []int{512}}).Word(); strings.Contains(word, ".") {
		t.Errorf("word %q", word)
	}
}
