// SPDX-License-Identifier: Apache-2.0

package matrix

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/internal/only"
)

func TestImages(t *testing.T) {
	const cells = "version: 1\ncells:\n"
	for _, tt := range []struct {
		name, text string
		want       []string
		err        string
	}{
		{"none", "- {system: unikraft, app: nginx, platform: qemu}", []string{"unikraft/nginx/qemu/boot"}, ""},
		{"one", "- {system: unikraft, app: nginx, platform: qemu, image: dce}", []string{"unikraft/nginx/qemu/boot/image=dce"}, ""},
		{"list", "- {system: unikraft, app: nginx, platform: qemu, image: [plain, dce, lto], experiment: [boot, image-size], parallel: [1, 2]}", []string{
			"unikraft/nginx/qemu/boot/image=plain", "unikraft/nginx/qemu/boot/image=plain/parallel=2",
			"unikraft/nginx/qemu/boot/image=dce", "unikraft/nginx/qemu/boot/image=dce/parallel=2",
			"unikraft/nginx/qemu/boot/image=lto", "unikraft/nginx/qemu/boot/image=lto/parallel=2",
			"unikraft/nginx/qemu/image-size/image=plain", "unikraft/nginx/qemu/image-size/image=plain/parallel=2",
			"unikraft/nginx/qemu/image-size/image=dce", "unikraft/nginx/qemu/image-size/image=dce/parallel=2",
			"unikraft/nginx/qemu/image-size/image=lto", "unikraft/nginx/qemu/image-size/image=lto/parallel=2",
		}, ""},
		{
			"two entries", "- {system: unikraft, app: nginx, platform: qemu, image: a}\n- {system: unikraft, app: nginx, platform: qemu, image: b}\n- {system: unikraft, app: nginx, platform: qemu}",
			[]string{"unikraft/nginx/qemu/boot/image=a", "unikraft/nginx/qemu/boot/image=b", "unikraft/nginx/qemu/boot"}, "",
		},
		{"twice", "- {system: unikraft, app: nginx, platform: qemu, image: [a, b]}\n- {system: unikraft, app: nginx, platform: qemu, image: b}", nil, "/image=b (accel auto) is already asked for"},
		{"twice in a list", "- {system: unikraft, app: nginx, platform: qemu, image: [a, a]}", nil, `image "a" is already in the list`},
		{"empty", "- {system: unikraft, app: nginx, platform: qemu, image: []}", nil, "image is an empty list"},
		{"no name", "- {system: unikraft, app: nginx, platform: qemu, image: [a, 'b c']}", nil, `image "b c" is neither a name`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var ids []string
			m, err := Parse("m.yaml", []byte(cells+tt.text))
			if err == nil {
				var list []Cell
				list, err = m.Expand()
				for _, c := range list {
					ids = append(ids, c.ID())
				}
			}
			if d := cmp.Diff(tt.want, ids); d != "" {
				t.Error(d)
			}
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}

func TestSelectImage(t *testing.T) {
	m, err := Parse("m.yaml", []byte("version: 1\ncells:\n- {system: unikraft, app: nginx, platform: qemu, image: [a, b]}\n- {system: linux, app: nginx, platform: qemu}"))
	if err != nil {
		t.Fatal(err)
	}
	all, err := m.Expand()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ selector, want, err string }{
		{"image=b", "unikraft/nginx/qemu/boot/image=b", ""},
		{"image=a|b,system=unikraft", "unikraft/nginx/qemu/boot/image=a unikraft/nginx/qemu/boot/image=b", ""},
		{"image=", "linux/nginx/qemu/boot", ""},
		{"variant=image=a,accel=auto,probes=boot", "unikraft/nginx/qemu/boot/image=a", ""},
		{"image=c", "", `no cell has image "c"`},
	} {
		s, err := only.Parse(tt.selector)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Select(all, []only.Selector{s})
		var ids []string
		for _, c := range got {
			ids = append(ids, c.ID())
		}
		if text := strings.Join(ids, " "); text != tt.want {
			t.Errorf("%s: %s, want %s", tt.selector, text, tt.want)
		}
		if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%s: error %v, want %q", tt.selector, err, tt.err)
		}
	}
	s, err := only.Parse("image=a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Select(all[2:], []only.Selector{s}); err == nil || !strings.Contains(err.Error(), "none has any") {
		t.Errorf("no cell with an image: error %v", err)
	}
}

// One sample says how large an image is, whatever is asked for.
func TestSettle(t *testing.T) {
	m, err := Parse("m.yaml", []byte("version: 1\ncells:\n- {system: linux, app: nginx, platform: qemu, experiment: [image-size, boot], samples: 9, warmup: 2, probes: full, until: {within_percent: 5}}"))
	if err != nil {
		t.Fatal(err)
	}
	all, err := m.Expand()
	if err != nil {
		t.Fatal(err)
	}
	type settings struct {
		Samples, Warmup, Within int
		Probes                  string
	}
	var got []settings
	for _, c := range all {
		got = append(got, settings{c.Samples, c.Warmup, c.Until.WithinPercent, c.Probes})
	}
	if d := cmp.Diff([]settings{{1, 0, 0, ProbesNone}, {9, 2, 5, ProbesFull}}, got); d != "" {
		t.Error(d)
	}
}
