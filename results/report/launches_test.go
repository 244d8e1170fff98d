// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/results"
)

// started is a run of which it is known how its guests were started.
func started() Source {
	s := asked("a", 256)
	s.File.Host.Versions = map[string]string{"qemu-system-x86_64": "7.2.22"}
	guest, process := &s.File.Cells[0], &s.File.Cells[1]
	guest.Firmware, guest.Argv = "seabios", []string{"/usr/bin/qemu-system-x86_64", "-m", "256", "-append", "console=ttyS0 it's"}
	guest.Image = &results.Image{Path: "/c/vmlinuz-6.1", SHA256: "f0f1f2f3f4f5f6f7", Version: "1.35", Package: "busybox", KernelVersion: "6.1.0-56-cloud-amd64 (debian) #1",
		Files: []results.ImageFile{{Kind: "kernel", Path: "/c/vmlinuz-6.1", SHA256: "f0f1f2f3f4f5f6f7"}, {Kind: "initrd", Path: "/c/initramfs", SHA256: "ab"}}}
	process.Firmware, process.Argv, process.Image = "", []string{"/bin/busybox", "sh"}, &results.Image{Path: "/root/bin/busybox", SHA256: "cd", Version: "1.35"}
	return s
}

func TestLaunches(t *testing.T) {
	s := started()
	want := [][]string{
		{"linux/hello on qemu1nic (kvm)", "kernel vmlinuz-6.1 (SHA-256 f0f1f2f3f4f5…); initrd initramfs (SHA-256 ab…); its kernel: 6.1.0-56-cloud-amd64 (debian) #1", "seabios",
			`/usr/bin/qemu-system-x86_64 -m 256 -append 'console=ttyS0 it'\''s'`},
		{"process/hello on process", "busybox (SHA-256 cd…)", "–", "/bin/busybox sh"},
	}
	if diff := cmp.Diff(want, launchTable(s.File).Rows); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	doc := NewDocument(s)
	for name, write := range map[string]func(*bytes.Buffer) error{
		"md":   func(b *bytes.Buffer) error { return doc.Markdown(b) },
		"html": func(b *bytes.Buffer) error { return doc.HTML(b) },
		"term": func(b *bytes.Buffer) error { return doc.Term(b, Options{Width: 200}) },
		"json": func(b *bytes.Buffer) error { return doc.JSON(b) },
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		words := []string{"7.2.22", "6.1.0-56-cloud-amd64"}
		if name != "json" {
			words = append(words, "linux hello: busybox 1.35", "process hello: busybox 1.35")
		}
		if name != "term" {
			words = append(words, "-append", "initramfs", "seabios")
		}
		for _, w := range words {
			if !strings.Contains(b.String(), w) {
				t.Errorf("%s has no %q", name, w)
			}
		}
	}
}
