// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/internal/golden"
	"github.com/ukprobe/ukprobe/results"
)

// small is a run with one of each kind of entry.
func small() *results.File {
	all := everything()
	f := &results.File{Run: all.Run, Host: all.Host}
	f.Host.Rungs = nil
	osv := bootCell("osv", "nginx", "firecracker", 1)
	osv.Samples = osv.Samples[:7]
	for i := range osv.Samples {
		osv.Samples[i].Values, osv.Samples[i].Taints = map[string]float64{"halts": float64(i)}, nil
	}
	osv.Samples[2].Taints = []string{"steal"}
	osv.Samples[4] = results.Sample{Status: results.SampleTimeout, Reason: "not ready"}
	tcg := bootCell("osv", "nginx", "qemu", 2)
	tcg.Accel, tcg.Samples = "tcg", tcg.Samples[:1]
	tcg.Samples[0] = results.Sample{Status: results.SampleOK, Phases: results.Phases{TotalNs: ns(3e9)}, Missing: []results.Missing{{Name: results.EventGuestEntry, Reason: "not under KVM: the host kernel does not see it"}},
		Events: []results.Event{{Name: results.EventVMMExec, NS: 500}}, Curves: map[string][]results.Point{"memory_bytes": {{NS: 700, Value: 4096}}}}
	f.Cells = []results.Cell{
		osv, tcg,
		{System: "hermitux", App: "nginx", Platform: "firecracker", Experiment: "boot", Status: results.CellUnsupported, Reason: "HermiTux has no nginx"},
		{System: "lupine", App: "nginx", Platform: "firecracker", Experiment: "boot", Status: results.CellNoImage, Reason: "nobody has given an image"},
		{System: "unikraft", App: "nginx", Platform: "qemu", Experiment: "boot", Accel: "kvm", Status: results.CellFailed, Reason: "it | panics"},
		{System: "unikraft", App: "nginx", Platform: "firecracker", Experiment: "boot", Accel: "kvm", Status: results.CellSkipped, Reason: "not started"},
		{System: "docker", App: "nginx", Platform: "docker", Experiment: "boot", Accel: "none", Status: results.CellOK},
	}
	for i := range f.Cells {
		f.Cells[i].Summary = f.Cells[i].Summarize()
	}
	return f
}

func TestFormats(t *testing.T) {
	doc := NewDocument(Source{"small", small()})
	for _, tt := range []struct {
		name  string
		write func(io.Writer) error
	}{
		{"report.md", doc.Markdown},
		{"report.json", doc.JSON},
		{"report.csv", func(w io.Writer) error { return doc.CSV(w, false) }},
		{"report_curves.csv", func(w io.Writer) error { return doc.CSV(w, true) }},
		{"report_80.txt", func(w io.Writer) error { return doc.Term(w, Options{Width: 80}) }},
		{"report_ascii.txt", func(w io.Writer) error { return doc.Term(w, Options{Width: 160, ASCII: true}) }},
		{"report_color.txt", func(w io.Writer) error { return doc.Term(w, Options{Width: 160, Color: true}) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			if err := tt.write(&b); err != nil {
				t.Fatal(err)
			}
			golden.Check(t, tt.name, b.String())
		})
	}
}

// TestNoBlankEntry: each entry of each table has a word, a figure or a footnote, and each
// that has no figure and is in the run has a footnote.
func TestNoBlankEntry(t *testing.T) {
	for _, f := range []*results.File{small(), everything(), testFile()} {
		for _, g := range NewDocument(Source{"x", f}).Grids {
			for _, r := range g.Rows {
				for i, e := range r.Entries {
					words := strings.Join(Options{}.entryWords(e), "") + marks(e.Notes)
					if words == "" {
						t.Errorf("%s: %q, %s: the entry is blank", g.ID, r.Heads, g.Columns[i].heading())
					}
					if e.Status != results.CellOK && e.Status != EntryAbsent && e.Status != EntryNoData && len(e.Notes) == 0 {
						t.Errorf("%s: %q, %s: %s without a footnote", g.ID, r.Heads, g.Columns[i].heading(), e.Status)
					}
					for _, n := range e.Notes {
						if n < 1 || n > len(g.Notes) {
							t.Errorf("%s: %q: there is no footnote %d", g.ID, r.Heads, n)
						}
					}
				}
			}
		}
	}
}

// TestLayout: the evaluation's rows and columns are in their places, whatever the run has.
func TestLayout(t *testing.T) {
	doc := NewWholeDocument(Source{"x", everything()})
	for _, tt := range []struct {
		id            string
		rows, columns []string
	}{
		{"size", []string{"MirageOS", "OSv", "HermiTux", "Lupine", "Unikraft", "Docker", "Linux microVM"}, []string{"hello", "nginx", "redis", "sqlite"}},
		{"boot-nginx", []string{"MirageOS", "OSv", "HermiTux", "Lupine", "Unikraft", "Docker"}, []string{"Firecracker", "QEMU", "QEMU 1 NIC", "QEMU microvm"}},
		{"memory-use", []string{"OSv", "HermiTux", "Lupine", "Unikraft", "Docker", "Linux microVM", "rump"}, []string{"hello", "nginx", "redis", "sqlite"}},
		{"throughput", []string{"OSv", "HermiTux", "Lupine", "Unikraft", "Docker", "Linux microVM", "rump"}, []string{"redis (redis-benchmark)", "nginx (wrk)", "memcached (memaslap)", "sqlite (by itself)"}},
	} {
		at := slices.IndexFunc(doc.Grids, func(g Grid) bool { return g.ID == tt.id })
		if at < 0 {
			t.Errorf("no table %s", tt.id)
			continue
		}
		var rows, columns []string
		for _, r := range doc.Grids[at].Rows {
			if !slices.Contains(rows, r.Heads[0]) {
				rows = append(rows, r.Heads[0])
			}
		}
		for _, c := range doc.Grids[at].Columns {
			name := c.Group
			if name == "" {
				name = c.Title
			}
			if !slices.Contains(columns, name) {
				columns = append(columns, name)
			}
		}
		if diff := cmp.Diff(tt.rows, rows[:min(len(rows), len(tt.rows))]); diff != "" {
			t.Errorf("%s, rows (-want +got):\n%s", tt.id, diff)
		}
		if diff := cmp.Diff(tt.columns, columns[:min(len(columns), len(tt.columns))]); diff != "" {
			t.Errorf("%s, columns (-want +got):\n%s", tt.id, diff)
		}
	}
}

// TestVMTime: the VM's time is the total without the VMM's, of each sample, and not the
// difference of two medians.
func TestVMTime(t *testing.T) {
	c := results.Cell{Status: results.CellOK}
	for _, p := range [][2]int64{{10, 100}, {60, 110}, {20, 200}} {
		c.Samples = append(c.Samples, results.Sample{Status: results.SampleOK, Phases: results.Phases{VMMNs: ns(p[0]), TotalNs: ns(p[1])}})
	}
	s, ok := figureOf(&c, vmMetric)
	if !ok || s.Median != 90 {
		t.Errorf("the median of 90, 50 and 180 is %v, want 90", s.Median)
	}
}

// TestGeneralTaint: taints that differ in figures only are one kind.
func TestGeneralTaint(t *testing.T) {
	for taint, want := range map[string]string{
		"foreign task cc1 ran 882.2ms (8.1 %) on cpu 1":            "foreign tasks on its CPUs",
		"client: ready known only to within 35ms of 1s":            "client: ready known only to within … of …",
		"lost 216 pio_ports (8 of 8 of boots)":                     "lost pio_ports",
		"vcpu on cpu 1, which is not isolated":                     "vcpu on cpu 1, which is not isolated",
		"the hypervisor below took 310ms (1.9 %) of cpu 1 (steal)": "steal by the hypervisor below",
	} {
		if got := generalTaint(taint); got != want {
			t.Errorf("%q: %q, want %q", taint, got, want)
		}
	}
}

// TestCSV: every figure of every sample is there once, as it is in run.json.
func TestCSV(t *testing.T) {
	f := everything()
	var b bytes.Buffer
	if err := NewDocument(Source{"x", f}).CSV(&b, false); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&b).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(csvColumns, rows[0]); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
	want := 0
	for i := range f.Cells {
		for j := range f.Cells[i].Samples {
			want += max(1, len(f.Cells[i].Samples[j].Metrics()))
		}
	}
	if got := len(rows) - 1; got != want {
		t.Errorf("%d rows, want %d", got, want)
	}
	for _, r := range rows {
		for _, field := range r {
			if strings.ContainsFunc(field, unicode.IsControl) || field != "" && strings.ContainsRune("=+@", rune(field[0])) {
				t.Fatalf("a field that a spreadsheet would take for something else: %q", field)
			}
		}
	}
}

// TestJSON: the machine form is JSON, with the same entries as the tables.
func TestJSON(t *testing.T) {
	doc := NewDocument(Source{"x", everything()})
	var b bytes.Buffer
	if err := doc.JSON(&b); err != nil {
		t.Fatal(err)
	}
	var got jsonDocument
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Format != JSONFormat || len(got.Tables) != len(doc.Grids) {
		t.Fatalf("format %q, %d tables, want %d", got.Format, len(got.Tables), len(doc.Grids))
	}
	for i, g := range got.Tables {
		for j, r := range g.Rows {
			if len(r.Entries) != len(g.Columns) || len(r.Heads) != len(g.Heads) {
				t.Errorf("%s, row %d: %d heads and %d entries for %d and %d columns", g.ID, j, len(r.Heads), len(r.Entries), len(g.Heads), len(g.Columns))
			}
			for k, e := range r.Entries {
				if (e.Summary != nil) != (doc.Grids[i].Rows[j].Entries[k].Summary != nil) {
					t.Errorf("%s, row %d, column %d: the figure is not that of the table", g.ID, j, k)
				}
			}
		}
	}
}

// TestSeveralRuns: rows of different runs stay apart, and other hosts are warned of.
func TestSeveralRuns(t *testing.T) {
	a, b := small(), small()
	b.Run.ID, b.Host.Kernel = "another", "6.13"
	doc := NewDocument(Source{a.Run.ID, a}, Source{b.Run.ID, b})
	if len(doc.Warnings) != 1 || !strings.Contains(doc.Warnings[0], "kernel") {
		t.Errorf("warnings %q, want one of the kernel", doc.Warnings)
	}
	for _, g := range doc.Grids {
		if g.Absent == "" && g.Heads[1] != "run" {
			t.Errorf("%s: heads %q have no run", g.ID, g.Heads)
		}
		for _, r := range g.Rows {
			for _, e := range r.Entries {
				if e.Cell == nil {
					continue
				}
				of := a
				if r.Heads[1] == b.Run.ID {
					of = b
				}
				if !slices.ContainsFunc(of.Cells, func(c results.Cell) bool {
					return c.Samples != nil && len(e.Cell.Samples) > 0 && &c.Samples[0] == &e.Cell.Samples[0] || c.Reason == e.Cell.Reason
				}) {
					t.Errorf("%s: a cell of another run in a row of %s", g.ID, r.Heads[1])
				}
			}
		}
	}
}

// TestHostileText: no device gets control characters, and Markdown no markup that a guest made.
func TestHostileText(t *testing.T) {
	doc := NewDocument(Source{"x", everything()})
	for name, write := range map[string]func(io.Writer) error{"md": doc.Markdown, "html": doc.HTML, "term": func(w io.Writer) error { return doc.Term(w, Options{}) }} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		for _, r := range b.String() {
			if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) {
				t.Errorf("%s has the character %U", name, r)
				break
			}
		}
		if name != "term" && (strings.Contains(b.String(), "<img") || strings.Contains(b.String(), "alert(1)</script>")) {
			t.Errorf("%s has a guest's markup in it", name)
		}
		if name == "md" && (strings.Contains(strings.ReplaceAll(b.String(), `\]`, ""), "](http") || strings.Contains(b.String(), "http://")) {
			t.Error("md has a guest's link in it")
		}
	}
}

// large is a run of so many cells, with so many samples each.
func large(cells, samples int) *results.File {
	f := &results.File{Run: results.Run{ID: "large", Started: time.Unix(0, 0)}}
	systems, platforms, apps := []string{"mirageos", "osv", "hermitux", "lupine", "unikraft", "rump", "linux"}, []string{"firecracker", "qemu", "qemu1nic", "qemumicrovm", "solo5-hvt", "uhyve"}, []string{"hello", "nginx", "redis", "sqlite", "memcached", "mysql"}
	for i := range cells {
		c := bootCell(systems[i%7], apps[i/42%6], platforms[i/7%6], i%9)
		if i >= 252 {
			c.Settings = &results.Settings{Image: fmt.Sprintf("image-%d", i)}
		}
		for len(c.Samples) < samples {
			c.Samples = append(c.Samples, c.Samples...)
		}
		c.Samples = c.Samples[:samples]
		c.Summary = c.Summarize()
		f.Cells = append(f.Cells, c)
	}
	return f
}

// TestLargePage: 500 cells of 30 samples are a page that a browser opens without waiting.
func TestLargePage(t *testing.T) {
	var b bytes.Buffer
	if err := NewDocument(Source{"x", large(500, 30)}).HTML(&b); err != nil {
		t.Fatal(err)
	}
	const most = 8 << 20
	t.Logf("%.1f MiB", float64(b.Len())/(1<<20))
	if b.Len() > most {
		t.Errorf("the page is %d bytes, want at most %d", b.Len(), most)
	}
	if n := strings.Count(b.String(), `class="p `); n < 500*30 {
		t.Errorf("%d samples are drawn, want %d", n, 500*30)
	}
}
