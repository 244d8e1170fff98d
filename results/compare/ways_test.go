// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/ukprobe/ukprobe/internal/only"
	"github.com/ukprobe/ukprobe/results"
)

// defaultShape is a run of the shape that the default matrix has: every accelerator, and
// processes on a platform of their own.
func defaultShape(label string) Set {
	var cells []Cell
	for _, k := range []Key{
		{System: "reference", App: "hello", Platform: "qemu", Accel: "kvm"}, {System: "reference", App: "hello", Platform: "qemu1nic", Accel: "kvm"},
		{System: "linux", App: "hello", Platform: "qemu1nic", Accel: "tcg"}, {System: "linux", App: "nginx", Platform: "qemu1nic", Accel: "tcg"},
		{System: "process", App: "nginx", Platform: "process", Accel: "none"},
	} {
		c := cellOf(k.System, times(10, 100)...)
		k.Experiment, k.Probes = "boot", results.ProbesBoot
		if c.Key = k; k.App == "nginx" {
			c.ImageVersion = "1.22"
		}
		cells = append(cells, c)
	}
	return setOf(label, cells...)
}

// TestWays: an error that nothing can be compared names flags with which something can, and
// they are true.
func TestWays(t *testing.T) {
	nginx, err := only.ParseAll([]string{"app=nginx"})
	if err != nil {
		t.Fatal(err)
	}
	newer := defaultShape("B")
	newer.Host.Kernel = "6.1"
	a, b := defaultShape("A"), defaultShape("B")
	for name, tt := range map[string]struct {
		b    *Set
		o    Options
		want string
	}{
		"system": {nil, Options{By: BySystem},
			"along system: accelerators differ: kvm and tcg: with --across accel they are compared all the same. There is something to compare with --by system --across accel (1 pair of cells, as hello/qemu1nic: reference → linux); or with --by platform (1 pair of cells, as reference/hello: qemu → qemu1nic)"},
		"system, of one app": {nil, Options{By: BySystem, Across: []string{AcrossAccel}, Only: nginx},
			"no two cells differ in their system alone. There is something to compare with --by system --across accel and without --only (1 pair"},
		"a base that is alone": {nil, Options{By: BySystem, Base: "process", Across: []string{AcrossAccel}},
			"with --by system --across accel and without --base (1 pair"},
		"a metric that there is not": {nil, Options{By: ByPlatform, Metrics: []string{"no_such_ns"}},
			"no metric of these is in both: no_such_ns: --metric all shows which there are. There is something to compare with --by platform and without --metric (1 pair"},
		"versions": {nil, Options{By: ByVersion}, "no two cells differ in the version of their image alone. There is something"},
		"versions, two runs": {&b, Options{By: ByVersion},
			"along version: neither image has a version; the images have the same version, 1.22. There is something to compare without --by (5 pairs"},
		"hosts":              {&newer, Options{}, "There is something to compare with --across host (5 pairs of cells, as reference/hello/qemu, boot, kvm)"},
		"hosts and a system": {&newer, Options{By: BySystem}, "with --by system --across accel,host (2 pairs"},
		"nothing at all":     {ptr(setOf("B")), Options{}, "nothing to compare: A and B have nothing in common: A has reference/hello/qemu, boot, kvm; "},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := compare(a, tt.b, tt.o); !errors.Is(err, ErrNothing) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
			m := &matcher{one: tt.b == nil, all: []Set{a}, o: tt.o}
			if tt.b != nil {
				m.all = append(m.all, *tt.b)
				for _, d := range results.HostChanges(a.Host, tt.b.Host) {
					m.hosts = append(m.hosts, d.String())
				}
			}
			for _, w := range m.ways() {
				if r, err := compare(a, tt.b, w.o); err != nil || len(r.Rows) == 0 {
					t.Errorf("%s compares nothing: %v", w.flags(), err)
				}
			}
		})
	}
}

// TestSameValueIsNotBroken: a cell of two runs with one version has not lost its figures.
func TestSameValueIsNotBroken(t *testing.T) {
	older, newer, kept := cellOf("osv", times(10, 1)...), cellOf("osv", times(10, 1)...), cellOf("linux", times(10, 1)...)
	older.ImageVersion, newer.ImageVersion, kept.ImageVersion = "1", "2", "5"
	r, err := Runs(setOf("a", older, kept), setOf("b", newer, kept), Options{By: ByVersion})
	if err != nil || len(r.Rows) != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, broken := r.Regressions(); broken != 0 || !slices.ContainsFunc(r.Left, func(l Left) bool { return l.Reason == "the images have the same version, 5" }) {
		t.Errorf("%+v", r.Left)
	}
}

// TestBase: a base that is not there is a mistake on the command line, and the error says what
// there is.
func TestBase(t *testing.T) {
	var wrong *OptionError
	_, err := Within(defaultShape("A"), Options{By: ByPlatform, Base: "qemuu"})
	if !errors.As(err, &wrong) || err.Error() != `base: no cell has platform "qemuu"; did you mean "qemu"? (there are: qemu, qemu1nic, process)` {
		t.Error(err)
	}
	if _, err = Runs(defaultShape("A"), defaultShape("B"), Options{By: ByPlatform, Base: "qemu"}); !errors.As(err, &wrong) {
		t.Error(err)
	}
	if r, err := Within(defaultShape("A"), Options{By: ByPlatform, Base: "qemu1nic"}); err != nil || r.Rows[0].FromA != "qemu1nic" {
		t.Errorf("%+v, %v", r, err)
	}
	unversioned := setOf("A", cellOf("x", 1))
	if _, err = Within(unversioned, Options{By: ByVersion, Base: "1"}); !errors.As(err, &wrong) || !strings.Contains(err.Error(), "none has a version") {
		t.Error(err)
	}
}
