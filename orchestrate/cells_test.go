// SPDX-License-Identifier: Apache-2.0

package orchestrate

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/internal/only"
	"github.com/ukprobe/ukprobe/matrices"
	"github.com/ukprobe/ukprobe/orchestrate/catalogue"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
	"github.com/ukprobe/ukprobe/orchestrate/platform"
	"github.com/ukprobe/ukprobe/orchestrate/system"
	"github.com/ukprobe/ukprobe/results"
)

const twoCells = `version: 1
name: test
cells:
  - {system: reference, app: hello, platform: [qemu, qemumicrovm]}
`

func parse(t *testing.T, text string) *matrix.Matrix {
	t.Helper()
	m, err := matrix.Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func selectors(t *testing.T, texts ...string) (out []only.Selector) {
	t.Helper()
	for _, text := range texts {
		s, err := only.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}

func ids(cells []matrix.Cell) (out []string) {
	for _, c := range cells {
		out = append(out, c.ID())
	}
	return out
}

// TestBuiltInMatrix: what `ukprobe run` does without arguments is what the
// vocabulary knows, and every cell of it is supported.
func TestBuiltInMatrix(t *testing.T) {
	text, err := matrices.FS.ReadFile(matrices.Default)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Matrix: parse(t, string(text))}
	cells, err := o.expand()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"reference/hello/qemu/boot", "reference/hello/qemu1nic/boot", "reference/hello/qemumicrovm/boot",
		"linux/hello/qemu1nic/boot", "linux/nginx/qemu1nic/boot", "process/hello/process/boot", "process/nginx/process/boot",
	}
	if diff := cmp.Diff(want, ids(cells)); diff != "" {
		t.Errorf("cells (-want +got):\n%s", diff)
	}
	for _, c := range cells {
		if r := resolve(c, system.All(system.Env{}), platform.Host{}); r.status != "" {
			t.Errorf("%s: %s: %s", c.ID(), r.status, r.reason)
		}
	}
}

func TestVocabulary(t *testing.T) {
	v := Vocabulary(nil)
	for name, list := range map[string][]string{"systems": v.Systems, "apps": v.Apps, "platforms": v.Platforms, "experiments": v.Experiments, "events": v.Events, "claims": v.Claims} {
		if len(list) == 0 || len(slices.Compact(slices.Sorted(slices.Values(list)))) != len(list) {
			t.Errorf("%s %q: empty, or one twice", name, list)
		}
	}
	for _, event := range append(slices.Clone(results.EventOfSome), results.EventOrder...) {
		if event != results.EventVMMExit && !slices.Contains(v.Events, event) {
			t.Errorf("no claim can count from %s", event)
		}
	}
	for _, s := range system.All(system.Env{}) {
		for _, p := range s.Platforms() {
			if _, err := platform.Find(p); err != nil {
				t.Errorf("%s: %v", s.Name(), err)
			}
		}
	}
}

func TestExpand(t *testing.T) {
	three, zero := 3, 0
	tests := []struct {
		name    string
		options Options
		want    func(s *matrix.Settings) // changes the defaults
		cells   []string
	}{
		{"the matrix's own", Options{}, func(*matrix.Settings) {}, []string{"reference/hello/qemu/boot", "reference/hello/qemumicrovm/boot"}},
		{"selected", Options{Only: selectors(t, "platform=qemumicrovm")}, func(*matrix.Settings) {}, []string{"reference/hello/qemumicrovm/boot"}},
		{"any of the selectors", Options{Only: selectors(t, "platform=qemumicrovm", "platform=qemu")}, func(*matrix.Settings) {},
			[]string{"reference/hello/qemu/boot", "reference/hello/qemumicrovm/boot"}},
		{"all overridden", Options{Samples: 7, Warmup: &three, Timeout: time.Second, Accel: "tcg"}, func(s *matrix.Settings) {
			s.Samples, s.Warmup, s.Timeout, s.Accel = 7, 3, time.Second, "tcg"
		}, []string{"reference/hello/qemu/boot", "reference/hello/qemumicrovm/boot"}},
		{"no warm-up", Options{Warmup: &zero}, func(s *matrix.Settings) { s.Warmup = 0 }, []string{"reference/hello/qemu/boot", "reference/hello/qemumicrovm/boot"}},
	}
	for _, tt := range tests {
		tt.options.Matrix = parse(t, twoCells)
		got, err := tt.options.expand()
		if diff := cmp.Diff(tt.cells, ids(got)); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", tt.name, err, diff)
			continue
		}
		want := matrix.DefaultSettings()
		tt.want(&want)
		for _, c := range got {
			if diff := cmp.Diff(want, c.Settings); diff != "" {
				t.Errorf("%s: %s (-want +got):\n%s", tt.name, c.ID(), diff)
			}
		}
	}
}

func TestExpandRefuses(t *testing.T) {
	for text, want := range map[string]string{
		strings.Replace(twoCells, "reference", "refrence", 1): "refrence",
		strings.Replace(twoCells, "hello", "helo", 1):         "helo",
		strings.Replace(twoCells, "[qemu,", "[xen,", 1):       "xen",
		strings.Replace(twoCells, "{system: reference, app: hello, platform: [qemu, qemumicrovm]}", "{system: process, app: hello, platform: process, image: x}", 1): "takes no args, kernel, initrd, disk or image",
	} {
		o := Options{Matrix: parse(t, text)}
		if _, err := o.expand(); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "test.yaml:4:") {
			t.Errorf("%s: %v, want an error about %q with its line", text, err, want)
		}
	}
	o := Options{Matrix: parse(t, twoCells), Only: selectors(t, "system=linux")}
	if _, err := o.expand(); err == nil || !strings.Contains(err.Error(), "system=linux") {
		t.Errorf("a selector of nothing: %v", err)
	}
	if err := o.Check(); err == nil {
		t.Error("Check finds nothing")
	}
}

// TestNamedImages: a name that is not in the catalogue, or is of another cell's image, is
// a mistake in the matrix, and no plan is made of another image.
func TestNamedImages(t *testing.T) {
	c, err := catalogue.Parse("c.yaml", []byte("version: 1\nimages:\n  - {name: lin, system: linux, app: hello, platform: qemu, path: /k}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		cell   string
		images *catalogue.Images
		want   string
	}{
		{"system: linux, app: hello, platform: qemu, image: lin", &catalogue.Images{Catalogue: c}, ""},
		{"system: linux, app: hello, platform: qemu, image: line", &catalogue.Images{Catalogue: c}, `image "line": not in the catalogue c.yaml: did you mean lin?`},
		{"system: linux, app: hello, platform: qemu, image: lin", nil, "there is no catalogue"},
		{"system: linux, app: hello, platform: [qemu, qemu1nic], image: lin", &catalogue.Images{Catalogue: c}, `image "lin" (c.yaml:3:5) is linux/hello for qemu, and not for linux/hello on qemu1nic`},
		{"system: docker, app: hello, platform: docker, image: lin", &catalogue.Images{Catalogue: c}, "and not for docker/hello on docker"},
		{"system: docker, app: hello, platform: docker, image: 'nginx:1'", &catalogue.Images{Catalogue: c}, ""},
		{"system: docker, app: hello, platform: docker, image: 'nginx:1'", nil, ""},
	} {
		o := Options{Images: tt.images, Matrix: parse(t, "version: 1\ncells:\n  - {"+tt.cell+"}\n")}
		_, err := o.expand()
		if (err == nil) != (tt.want == "") || err != nil && (!strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "test.yaml:3:")) {
			t.Errorf("%s: %v, want %q", tt.cell, err, tt.want)
		}
	}
}

// TestCatalogueVocabulary: an app that only an entry of a system with a Go file has is
// one that a matrix may name, and its cell is supported.
func TestCatalogueVocabulary(t *testing.T) {
	c, err := catalogue.Parse("c.yaml", []byte("version: 1\nimages:\n  - {name: l, system: unikraft, app: lua, platform: qemu, path: /k}\n"))
	if err != nil {
		t.Fatal(err)
	}
	images := &catalogue.Images{Catalogue: c}
	o := Options{Images: images, Matrix: parse(t, "version: 1\ncells:\n  - {system: unikraft, app: lua, platform: qemu}\n")}
	cells, err := o.expand()
	if err != nil {
		t.Fatal(err)
	}
	if got := resolve(cells[0], system.All(system.Env{Images: images}), platform.Host{}); got.status != "" {
		t.Errorf("%s: %s", got.status, got.reason)
	}
}

// TestPlansOfPipes: a plan waits for no writer of a pipe that a cell names, whatever looks
// into the file.
func TestPlansOfPipes(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	systems := system.All(system.Env{WorkDir: t.TempDir(), CacheDir: t.TempDir()})
	for _, s := range systems {
		for _, p := range s.Platforms() {
			for what, settings := range map[string]matrix.Settings{
				"kernel": {Kernel: pipe}, "initrd": {Kernel: "/nowhere", Initrd: pipe}, "disk": {Kernel: "/nowhere", Disk: pipe}, "disk alone": {Disk: pipe},
			} {
				settings.MemoryMiB, settings.VCPUs = 64, 1
				done := make(chan bool)
				go func() {
					defer close(done)
					resolve(matrix.Cell{System: s.Name(), App: "hello", Platform: p, Settings: settings}, systems, platform.Host{KVM: true, Hardware: true}).planned()
				}()
				select {
				case <-done:
				case <-time.After(10 * time.Second):
					t.Fatalf("%s on %s waits for the %s", s.Name(), p, what)
				}
			}
		}
	}
}

// TestImagePathsAreAbsolute: VMMs are started in /.
func TestImagePathsAreAbsolute(t *testing.T) {
	o := Options{Matrix: parse(t, `version: 1
cells:
  - {system: reference, app: hello, platform: qemu, kernel: images/k.elf, initrd: /i.cpio}
`)}
	cells, err := o.expand()
	if err != nil {
		t.Fatal(err)
	}
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if cells[0].Kernel != filepath.Join(wd, "images/k.elf") || cells[0].Initrd != "/i.cpio" {
		t.Errorf("kernel %s, initrd %s", cells[0].Kernel, cells[0].Initrd)
	}
}

func TestResolve(t *testing.T) {
	emulating := platform.Host{KVM: true}
	none := platform.Host{KVMReason: "no such device"}
	settings := func(accel string) matrix.Settings { s := matrix.DefaultSettings(); s.Accel = accel; return s }
	tests := []struct {
		system, app, platform, accel string
		host                         platform.Host
		want, status, reason         string
	}{
		{"reference", "hello", "qemu", "auto", emulating, "kvm", "", ""},
		{"linux", "hello", "qemu1nic", "auto", emulating, "tcg", "", ""},
		{"linux", "hello", "qemu1nic", "auto", platform.Host{KVM: true, Hardware: true}, "kvm", "", ""},
		{"process", "hello", "process", "kvm", none, "none", "", ""},
		{"linux", "hello", "qemumicrovm", "auto", emulating, "", results.CellUnsupported, "hello on qemumicrovm: Debian's cloud kernel takes no virtio-mmio devices from its command line (CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES is off), and with ACPI it hangs at some starts: use system lupine"},
		{"reference", "nginx", "qemu", "auto", emulating, "", results.CellUnsupported, "reference has no nginx (it has hello, http)"},
		{"reference", "hello", "qemu", "kvm", none, "", results.CellUnsupported, "accel kvm: no such device"},
		{"plan9", "hello", "qemu", "auto", emulating, "", results.CellFailed, `system "plan9": not known: use one of ` + namesOf(system.All(system.Env{}))},
		{"linux", "hello", "xen", "auto", emulating, "", results.CellFailed, `platform "xen": not known: use one of ` + namesOf(platform.All())},
	}
	for _, tt := range tests {
		c := matrix.Cell{System: tt.system, App: tt.app, Platform: tt.platform, Experiment: "boot", Settings: settings(tt.accel)}
		got := resolve(c, system.All(system.Env{}), tt.host)
		if got.accel != tt.want || got.status != tt.status || !strings.HasPrefix(got.reason, tt.reason) || (got.reason == "") != (tt.reason == "") {
			t.Errorf("%s, %s: accel %q, %s: %q", c.ID(), tt.accel, got.accel, got.status, got.reason)
		}
	}
}

func TestRefuse(t *testing.T) {
	for _, tt := range []struct {
		err            error
		status, reason string
	}{
		{errors.New("disk full"), results.CellFailed, "disk full"},
		{fmt.Errorf("%w: no such app", system.ErrUnsupported), results.CellUnsupported, "no such app"},
		{fmt.Errorf("prepare: %w: no such app", system.ErrUnsupported), results.CellUnsupported, "prepare: unsupported: no such app"},
	} {
		if c := new(cell).refuse(tt.err); c.status != tt.status || c.reason != tt.reason {
			t.Errorf("%v: %s: %q, want %s: %q", tt.err, c.status, c.reason, tt.status, tt.reason)
		}
	}
}

// TestValidationNeedsProbes: what guests claim is judged by the kernel's times only.
func TestValidationNeedsProbes(t *testing.T) {
	for probes, want := range map[string]string{matrix.ProbesNone: results.CellUnsupported, matrix.ProbesBoot: "", matrix.ProbesFull: ""} {
		c := matrix.Cell{System: "reference", App: "hello", Platform: "qemu", Experiment: matrix.TimingValidation, Settings: matrix.DefaultSettings()}
		c.Probes = probes
		if got := resolve(c, system.All(system.Env{}), platform.Host{KVM: true}); got.status != want {
			t.Errorf("probes %s: %q: %s", probes, got.status, got.reason)
		}
	}
}

// TestPrepare: an image that is not there, and a service without a wire, refuse
// the cell and not the run.
func TestPrepare(t *testing.T) {
	host := platform.Host{KVM: true}
	systems := system.All(system.Env{WorkDir: t.TempDir(), CacheDir: t.TempDir()})
	tests := []struct {
		name          string
		app, platform string
		kernel        string
		status, part  string
	}{
		{"the guest itself", "hello", "qemu", "", "", ""},
		{"no such kernel", "hello", "qemu", "/nonexistent/kernel", results.CellFailed, "/nonexistent/kernel: no such file or directory"},
		{"a folder", "hello", "qemu", t.TempDir(), results.CellFailed, "is a directory"},
		{"a service with a wire", "http", "qemu1nic", "", "", ""},
		{"a service without", "http", "qemu", "", results.CellUnsupported, "http is ready at its first response, and platform qemu has no network"},
	}
	for _, tt := range tests {
		c := matrix.Cell{System: "reference", App: tt.app, Platform: tt.platform, Settings: matrix.DefaultSettings()}
		c.Kernel = tt.kernel
		got := resolve(c, systems, host)
		got.prepare(t.Context(), host)
		if got.status != tt.status || !strings.Contains(got.reason, tt.part) {
			t.Errorf("%s: %s: %q, want %s: %q", tt.name, got.status, got.reason, tt.status, tt.part)
		}
		if tt.status == "" && (got.accel != "kvm" || got.image.Image.Size == 0) {
			t.Errorf("%s: accel %q, image %+v", tt.name, got.accel, got.image.Image)
		}
		before := *got
		if tt.status != "" {
			if got.prepare(t.Context(), host); got.reason != before.reason {
				t.Errorf("%s: refused again as %q", tt.name, got.reason)
			}
		}
	}
}

// TestNothingIsReady: a guest of which nothing says when it is ready is refused, and not
// waited for.
func TestNothingIsReady(t *testing.T) {
	p, err := platform.Find("qemu1nic")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		boot system.Boot
		err  string
	}{{system.Boot{}, "nothing says when lua is ready: give a line"}, {system.Boot{Ready: "x"}, ""}, {system.Boot{Service: &system.Service{Port: 1}}, ""}} {
		err := wired("lua", tt.boot, p)
		if (err == nil) != (tt.err == "") || err != nil && !strings.HasPrefix(err.Error(), tt.err) {
			t.Errorf("%+v: %v", tt.boot, err)
		}
	}
}

// namesOf lists the names of systems or platforms.
func namesOf[T interface{ Name() string }](all []T) string {
	var names []string
	for _, x := range all {
		names = append(names, x.Name())
	}
	return strings.Join(names, ", ")
}

// TestConflictAfterFlags: settings are held against each other once all of them are
// there, --samples too.
func TestConflictAfterFlags(t *testing.T) {
	const rule = "version: 1\ncells:\n- {system: process, app: hello, platform: process, until: {within_percent: 5}}\n"
	for _, tt := range []struct {
		set     string
		samples int
		want    string
	}{
		{"until.at_most=8", 7, ""},
		{"samples=101", 7, ""},
		{"until.at_most=8", 0, "until.at_most 8 is less than samples 10"},
		{"until.at_most=8", 9, "until.at_most 8 is less than samples 9"},
		{"memory_search.from_mib=2000", 0, "memory_search from 2000 to 1024 MiB holds no sizes"},
	} {
		set, err := matrix.ParseOverride(tt.set, "/")
		if err != nil {
			t.Fatal(err)
		}
		_, err = (&Options{Matrix: parse(t, rule), Set: []matrix.Override{set}, Samples: tt.samples}).expand()
		if (err != nil) != (tt.want != "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("--set %s --samples %d: %v; want %q", tt.set, tt.samples, err, tt.want)
		}
	}
}
