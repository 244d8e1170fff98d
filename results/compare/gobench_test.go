// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/perf/benchfmt"

	"github.com/ukprobe/ukprobe/results"
)

// benchstat is golang.org/x/perf's own, at the version of go.mod.
func benchstat(t *testing.T, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "benchstat")
	if out, err := exec.Command("go", "build", "-o", path, "golang.org/x/perf/cmd/benchstat").CombinedOutput(); err != nil {
		t.Fatalf("build benchstat: %v\n%s", err, out)
	}
	var stderr bytes.Buffer
	cmd := exec.Command(path, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("benchstat %v: %v\n%s%s", args, err, out, &stderr)
	}
	return string(out)
}

// TestBenchstat: benchstat reads what we write, from one file and from two, and comes to
// the same verdicts.
func TestBenchstat(t *testing.T) {
	size := cellOf("osv")
	size.Experiment, size.Accel = "image-size", "none"
	size.Metrics = map[string]Series{"file_bytes": {Values: []float64{1 << 20}}}
	web := cellOf("osv")
	web.Experiment, web.Variant = "throughput", "image=osv-2/parallel=8"
	web.Metrics = map[string]Series{"requests_per_second": {Values: times(10, 5000)}}
	slow := web
	slow.Metrics = map[string]Series{"requests_per_second": {Values: times(10, 4000)}}
	late := cellOf("late", times(6, 1e9)...)
	late.Metrics[totalNs] = Series{Values: times(6, 1e9), Beyond: 2}
	a, b := setOf("a", cellOf("linux", times(10, 1e6)...), size, web, late), setOf("b", cellOf("linux", times(10, 1.1e6)...), size, slow, late)
	a.Host, b.Host = results.Host{CPUModel: "AMD  EPYC\n"}, results.Host{CPUModel: "AMD EPYC"}
	dir := t.TempDir()
	file := func(name string, sets ...Set) string {
		var text bytes.Buffer
		if err := GoBench(&text, nil, sets...); err != nil {
			t.Fatal(err)
		}
		r := benchfmt.NewReader(bytes.NewReader(text.Bytes()), name)
		lines := 0
		for r.Scan() {
			if e, wrong := r.Result().(*benchfmt.SyntaxError); wrong {
				t.Errorf("%v\n%s", e, &text)
			}
			lines++
		}
		if r.Err() != nil || lines == 0 {
			t.Fatal(r.Err())
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, out := range map[string]string{
		"one file":  benchstat(t, "-col", "set", file("both", a, b)),
		"two files": benchstat(t, file("old", a), file("new", b)),
	} {
		for _, want := range []string{
			`Boot/system=linux/app=hello/platform=qemu/accel=kvm/probes=boot\s+1\.00.m ± \d%\s+1\.10.m ± \d%\s+\+\d+\.\d+% \(p=0\.000 n=10\)`,
			`Throughput/system=osv/app=hello/platform=qemu/image=osv-2/parallel=8/accel=kvm/probes=boot\s+5\.0\d+k ± \d%\s+4\.0\d+k ± \d%\s+-\d+\.\d+% \(p=0\.000 n=10\)`,
			`Boot/system=late/\S+\s.*~ \(p=1\.000 n=6\)`,
			`ImageSize/system=osv/app=hello/platform=qemu/accel=none/probes=boot\s+1\.000Mi ± 0%\s+1\.000Mi ± 0%\s+0\.00%`,
			`total-sec`, `requests/s`, `file-B`,
		} {
			if !regexp.MustCompile(want).MatchString(out) {
				t.Errorf("%s: no %s in\n%s", name, want, out)
			}
		}
	}
}

// TestBenchNames: nothing of a name breaks a line or passes for something else.
func TestBenchNames(t *testing.T) {
	for _, tt := range []struct {
		change func(*Cell)
		want   string
	}{
		{func(c *Cell) { c.System, c.Variant = "a b/c\n", "image=x-2" }, "BenchmarkBoot/system=a_b_c/app=hello/platform=qemu/image=x-2/accel=kvm/probes=boot 1 1 total-ns\n"},
		{func(c *Cell) { c.App = "\x1b[31mred\x1b[0m\x07\u202eapp\u00a0x\u2028y" }, "BenchmarkBoot/system=linux/app=redapp_x_y/platform=qemu/accel=kvm/probes=boot 1 1 total-ns\n"},
		{func(c *Cell) { c.Probes = "boot-8" }, "BenchmarkBoot/system=linux/app=hello/platform=qemu/accel=kvm/probes=boot-8_ 1 1 total-ns\n"},
		{func(c *Cell) { c.Experiment = "ü-x\ty" }, "BenchmarkÜXY/system=linux/app=hello/platform=qemu/accel=kvm/probes=boot 1 1 total-ns\n"},
		{func(c *Cell) { c.Experiment = "\u0138" }, "Benchmark_\u0138/system=linux/app=hello/platform=qemu/accel=kvm/probes=boot 1 1 total-ns\n"},
		{func(c *Cell) { c.Metrics = map[string]Series{"a\nb c_bytes": {Values: []float64{2}}} }, "BenchmarkBoot/system=linux/app=hello/platform=qemu/accel=kvm/probes=boot 1 2 a_b_c-B\n"},
		{func(c *Cell) { c.Metrics = map[string]Series{"\x00": {Values: []float64{2}}} }, "BenchmarkBoot/system=linux/app=hello/platform=qemu/accel=kvm/probes=boot 1 2 _\n"},
	} {
		c := cellOf("linux", 1)
		tt.change(&c)
		var b bytes.Buffer
		if err := GoBench(&b, []string{AllMetrics}, setOf("x", c)); err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(b.String(), tt.want) {
			t.Errorf("%q, want %q", b.String(), tt.want)
		}
	}
	a := setOf("x", cellOf("linux", 1))
	a.Host = results.Host{CPUModel: "\x1b[1mTest\r\n  CPU\u200b", Kernel: "\u009b6.1"}
	var b bytes.Buffer
	if err := GoBench(&b, nil, a); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "cpu: Test CPU\n") || !strings.Contains(b.String(), "kernel: 6.1\n") {
		t.Errorf("%q", b.String())
	}
}

// FuzzGoBench: whatever a run.json from elsewhere has for names, each sample is one line
// that benchfmt reads, with nothing in it that a terminal obeys.
func FuzzGoBench(f *testing.F) {
	f.Add("linux", "boot", "image=a/parallel=2", "boot", "total_ns", "AMD EPYC")
	f.Add("\x1b[2J\n", "-\n-", "///", "x-8", "a b\nUnit x better=lower", "cpu:\nBenchmarkX 1 1 ns/op")
	f.Add("", "ß", "\xff", "", "\x00", "\u2028")
	f.Fuzz(func(t *testing.T, system, experiment, variant, probes, metric, cpu string) {
		c := cellOf(system, 1)
		c.Experiment, c.Variant, c.Probes = experiment, variant, probes
		c.Metrics = map[string]Series{metric: {Values: []float64{1, 2, 3}}}
		s := setOf("x", c)
		s.Host.CPUModel = cpu
		var b bytes.Buffer
		if err := GoBench(&b, []string{AllMetrics}, s); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsFunc(b.String(), func(r rune) bool { return r != '\n' && unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }) {
			t.Errorf("%q", &b)
		}
		r, n := benchfmt.NewReader(bytes.NewReader(b.Bytes()), "x"), 0
		for r.Scan() {
			switch rec := r.Result().(type) {
			case *benchfmt.Result:
				if n++; len(rec.Values) != 1 || rec.Name.Full() == nil {
					t.Errorf("%+v of %q", rec, &b)
				}
				if _, parts := rec.Name.Parts(); len(parts) > 0 && parts[len(parts)-1][0] == '-' {
					t.Errorf("CPUs: %q", &b)
				}
			case *benchfmt.SyntaxError:
				t.Errorf("%v: %q", rec, &b)
			}
		}
		if r.Err() != nil || n != 3 {
			t.Errorf("%d lines, %v: %q", n, r.Err(), &b)
		}
	})
}
