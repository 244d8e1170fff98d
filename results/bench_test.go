// SPDX-License-Identifier: Apache-2.0

package results

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// benchEnv is the size of the store that the benchmarks of lists and comparisons work on:
// RUNSxCELLSxSAMPLES. A year of nightly runs is 1000x500x30, which takes minutes and
// some 7 GB of the folder that benchDirEnv names (in a temporary one by default).
const (
	benchEnv    = "UKPROBE_BENCH_STORE"
	benchDirEnv = "UKPROBE_BENCH_DIR"
)

// benchMetrics is how many metrics a sample has there: as cells of the matrix full have
// on average.
const benchMetrics = 30

type benchSize struct{ runs, cells, samples int }

// benchStore makes a store of that size: one run as Store writes it, and copies of it
// under other ids. What a sample holds beside its figures is short there: lists and
// comparisons do not read it.
func benchStore(b *testing.B) (dir string, size benchSize) {
	b.Helper()
	size = benchSize{50, 100, 10}
	if text := os.Getenv(benchEnv); text != "" {
		if _, err := fmt.Sscanf(text, "%dx%dx%d", &size.runs, &size.cells, &size.samples); err != nil {
			b.Fatalf("%s=%s: %v: use RUNSxCELLSxSAMPLES", benchEnv, text, err)
		}
	}
	dir = os.Getenv(benchDirEnv)
	if dir == "" {
		dir = b.TempDir()
	} else if Holds(dir) {
		return dir, size // of the benchmark before
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	db, err := openWriter(filepath.Join(dir, DatabaseName))
	if err != nil {
		b.Fatal(err)
	}
	// Nothing is kept that would be missed.
	if _, err := db.Exec("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -200000"); err != nil {
		b.Fatal(err)
	}
	if err := fillBench(db, size); err != nil {
		b.Fatal(err)
	}
	if err := closeWriter(db); err != nil {
		b.Fatal(err)
	}
	return dir, size
}

func fillBench(db *sql.DB, size benchSize) error {
	r := benchRun(size)
	var cells []int64
	err := inTx(db, func(tx *sql.Tx) error {
		run, ids, err := insertRun(tx, r)
		if err != nil {
			return err
		}
		cells = ids
		return settle(tx, run, ids, r.file)
	})
	if err != nil {
		return err
	}
	first, n := cells[0], int64(len(cells))
	for run := 1; run < size.runs; run++ {
		if err := inTx(db, func(tx *sql.Tx) error {
			shift := n * int64(run)
			for _, q := range []struct {
				sql  string
				args []any
			}{
				{`INSERT INTO run SELECT 1 + ?1, 'r' || ?2, started + ?1 * 86400000000, finished + ?1 * 86400000000, status, version, matrix, kernel, cpu_model, pid, cells, ok, failed, unsupported, other, samples FROM run WHERE number = 1`, []any{run, fmt.Sprintf("%06d", run)}},
				{`INSERT INTO run_text SELECT 1 + ?1, head, host FROM run_text WHERE run = 1`, []any{run}},
				{`INSERT INTO cell SELECT id + ?1, 1 + ?2, n, system, app, platform, experiment, accel, probes, variant, status, reason, head FROM cell WHERE run = 1`, []any{shift, run}},
				{`INSERT INTO sample SELECT NULL, cell + ?1, n, started, status, vmm_ns, firmware_ns, guest_ns, total_ns, data FROM sample WHERE cell BETWEEN ?2 AND ?3`, []any{shift, first, first + n - 1}},
				{`INSERT INTO cell_values SELECT cell + ?1, data FROM cell_values WHERE cell BETWEEN ?2 AND ?3`, []any{shift, first, first + n - 1}},
				{`INSERT INTO summary SELECT cell + ?1, metric, n, median, low, high, min, max, beyond FROM summary WHERE cell BETWEEN ?2 AND ?3`, []any{shift, first, first + n - 1}},
			} {
				if _, err := tx.Exec(q.sql, q.args...); err != nil {
					return fmt.Errorf("%s: %w", q.sql, err)
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

func benchRun(size benchSize) rawRun {
	random := rand.New(rand.NewPCG(1, 2))
	end := started.Add(time.Hour)
	f := &File{Format: Format, FormatVersion: FormatVersion, Run: testRun(), Host: testHost()}
	f.Run.ID, f.Run.Status, f.Run.Finished = "r000000", RunOK, &end
	r := rawRun{file: f}
	for i := range size.cells {
		c := Cell{System: "linux", App: fmt.Sprintf("app%d", i), Platform: "qemu", Experiment: "boot", Accel: "kvm", Status: CellOK,
			Argv:     []string{"qemu-system-x86_64", "-M", "pc", "-kernel", "/var/cache/ukprobe/linux/vmlinuz", "-append", "console=ttyS0 quiet"},
			Settings: &Settings{Samples: size.samples, Warmup: 1, TimeoutNs: 30e9, MemoryMiB: 128, VCPUs: 1}}
		for range size.samples {
			s := okSample(1e8 + random.Int64N(1e7))
			for m := range benchMetrics - 3 {
				s.Values[fmt.Sprintf("metric_%02d_ns", m)] = float64(random.Int64N(1e7))
			}
			c.Samples = append(c.Samples, s)
		}
		r.samples = append(r.samples, benchLines(c.Samples))
		f.Cells = append(f.Cells, c)
	}
	return r
}

func benchLines(samples []Sample) (out []json.RawMessage) {
	for _, s := range samples {
		s.Values = nil // see benchStore
		line, err := json.Marshal(s)
		if err != nil {
			panic(err)
		}
		out = append(out, line)
	}
	return out
}

// BenchmarkList lists all runs.
func BenchmarkList(b *testing.B) {
	dir, size := benchStore(b)
	for b.Loop() {
		runs, err := List(dir)
		if err != nil || len(runs) != size.runs {
			b.Fatalf("%d runs, %v", len(runs), err)
		}
	}
	report(b, dir)
}

// BenchmarkCompare reads all cells of two runs with their values, as a comparison does.
func BenchmarkCompare(b *testing.B) {
	dir, size := benchStore(b)
	for b.Loop() {
		for _, run := range []string{"@latest", "@-" + fmt.Sprint(size.runs/2)} {
			_, cells, err := Columns(dir + run)
			if err != nil || len(cells) != size.cells || len(cells[0].Values) != benchMetrics+1 || len(cells[0].Values["total_ns"]) != size.samples {
				b.Fatalf("%d cells, %v", len(cells), err)
			}
		}
	}
	report(b, dir)
}

// BenchmarkLoad reads a whole run, with its samples.
func BenchmarkLoad(b *testing.B) {
	dir, size := benchStore(b)
	for b.Loop() {
		f, err := Load(dir)
		if err != nil || len(f.Cells) != size.cells || len(f.Cells[0].Samples) != size.samples {
			b.Fatal(err)
		}
	}
	report(b, dir)
}

func report(b *testing.B, dir string) {
	if st, err := os.Stat(filepath.Join(dir, DatabaseName)); err == nil {
		b.ReportMetric(float64(st.Size())/(1<<20), "MiB")
	}
}

// BenchmarkAddSample stores samples one by one, as a run does.
func BenchmarkAddSample(b *testing.B) {
	s, err := Create(b.TempDir(), testRun(), testHost(), testCells())
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	before := written(b)
	for b.Loop() {
		if err := s.AddSample(0, okSample(100)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(written(b)-before)/float64(b.N), "written-B/op")
}

// written is how many bytes this process has written.
func written(b *testing.B) int64 {
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		b.Skip(err)
	}
	var rchar, wchar int64
	if _, err := fmt.Sscanf(string(text), "rchar: %d\nwchar: %d\n", &rchar, &wchar); err != nil {
		b.Fatal(err)
	}
	return wchar
}
