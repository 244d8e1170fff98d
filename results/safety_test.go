// SPDX-License-Identifier: Apache-2.0

package results

import (
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestDiskFullExt4 is TestDiskFull on a file system of a real disk's kind.
func TestDiskFullExt4(t *testing.T) {
	image := filepath.Join(t.TempDir(), "disk")
	must(t, os.WriteFile(image, nil, 0o600))
	must(t, os.Truncate(image, 8<<20))
	if out, err := exec.Command("mkfs.ext4", "-q", "-m", "0", image).CombinedOutput(); err != nil {
		t.Skipf("needs mkfs.ext4: %v: %s", err, out)
	}
	onTmpfs(t, "64k", func(dir string) {
		// In this mount namespace: it goes with it, and so does the loop device.
		if out, err := exec.Command("mount", "-o", "loop", image, dir).CombinedOutput(); err != nil {
			t.Skipf("needs a loop device: %v: %s", err, out)
		}
		big := filepath.Join(dir, "big")
		if err := os.WriteFile(big, make([]byte, 5<<20), 0o600); err != nil {
			t.Error(err)
			return
		}
		fillDisk(t, dir, big)
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("somebody still holds the file system: %v", err)
		}
	})
}

// TestReadWhereNobodyWrites reads a finished run and one that was killed from a read-only
// file system.
func TestReadWhereNobodyWrites(t *testing.T) {
	onTmpfs(t, "8m", func(dir string) {
		done, killed, bare := filepath.Join(dir, "done"), filepath.Join(dir, "killed"), filepath.Join(dir, "bare")
		s := mustCreate(t, done)
		must(t, errors.Join(s.AddSample(0, okSample(1)), s.Finish(RunOK)))
		s = mustCreate(t, killed)
		must(t, s.AddSample(0, okSample(1)))
		// What a SIGKILL leaves: the files as they are now. -shm may be missing, as in a copy.
		must(t, os.Mkdir(bare, 0o755))
		for _, end := range []string{"", "-wal"} {
			must(t, copyFile(filepath.Join(bare, DatabaseName+end), filepath.Join(killed, DatabaseName+end)))
		}
		if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err == nil {
			t.Error("the file system is read-only although a store is open on it")
		}
		must(t, s.Close())
		if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
			t.Error(err)
			return
		}
		for _, at := range []string{done, killed, bare} {
			f, err := Load(at)
			if err != nil {
				t.Error(err)
				continue
			}
			if n := len(f.Cells[0].Samples); n != 1 {
				t.Errorf("%s: %d samples", at, n)
			}
		}
		_, err := Create(done, Run{ID: "r2", Started: started}, Host{}, testCells())
		wantError(t, err, "read-only file system", "choose another directory")
		s, err = Resume(bare)
		must(t, err)
		wantError(t, s.BeginPart(Part{Started: started}), "read-only file system", "intact")
		must(t, s.Close())
	})
}

// TestSecondWriter: of two processes the second is told who writes; readers are not held
// up, and see whole samples.
func TestSecondWriter(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), writerEnv+"="+dir)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	defer func() { _, _ = cmd.Process.Kill(), cmd.Wait() }()
	one := make([]byte, 1)
	if _, err := out.Read(one); err != nil {
		t.Fatal(err)
	}
	go func() { // or the writer waits for us
		buf := make([]byte, 1<<16)
		for err := error(nil); err == nil; {
			_, err = out.Read(buf)
		}
	}()
	writer := fmt.Sprintf("pid %d: %s", cmd.Process.Pid, os.Args[0])
	_, err = Create(dir, Run{ID: "r2"}, Host{}, nil)
	wantError(t, err, "another ukprobe is writing its run into "+dir, writer)
	_, err = Resume(dir)
	wantError(t, err, writer)
	wantError(t, Import(dir, []string{oldFolder(t)}, func(Imported) {}), writer)
	wantError(t, CheckDir(dir), writer)
	wantError(t, Import(t.TempDir(), []string{dir}, func(Imported) {}), "it is being written by pid "+fmt.Sprint(cmd.Process.Pid))
	last := 0
	for i := 0; i < 20 || last < 20; i++ {
		n := len(mustLoad(t, dir).Cells[0].Samples)
		if n < last {
			t.Fatalf("%d samples, then %d", last, n)
		}
		last = n
	}
	list, err := List(dir)
	must(t, err)
	if list[0].Status != RunRunning {
		t.Errorf("listed as %+v", list[0])
	}
}

// TestNewerStore: a store of a version that is not known is not touched.
func TestNewerStore(t *testing.T) {
	dir := t.TempDir()
	must(t, mustCreate(t, dir).Finish(RunOK))
	path := filepath.Join(dir, DatabaseName)
	inDatabase(t, path, fmt.Sprintf("PRAGMA user_version = %d", len(migrations)+1))
	before, err := os.ReadFile(path)
	must(t, err)
	_, load := Load(dir)
	_, create := Create(dir, Run{ID: "r2"}, Host{}, nil)
	_, resume := Resume(dir)
	_, list := List(dir)
	for what, err := range map[string]error{"load": load, "create": create, "resume": resume, "list": list,
		"check": CheckDir(dir), "import": Import(dir, []string{oldFolder(t)}, func(Imported) {})} {
		t.Run(what, func(t *testing.T) {
			wantError(t, err, path, "store version 2", "up to 1", "newer ukprobe", "use that one")
		})
	}
	after, err := os.ReadFile(path)
	must(t, err)
	if string(after) != string(before) {
		t.Error("it was changed")
	}
}

// inDatabase does something to a store that ukprobe would not.
func inDatabase(t *testing.T, path, statements string) {
	t.Helper()
	db, err := sql.Open("sqlite", dsn(path, "rw", nil))
	must(t, err)
	_, err = db.Exec(statements)
	must(t, errors.Join(err, db.Close()))
}

// TestOlderStore: a store of the version before is brought up to date by whoever opens
// it, and not while another writes to it.
func TestOlderStore(t *testing.T) {
	dir := t.TempDir()
	must(t, mustCreate(t, dir).Finish(RunOK))
	other := t.TempDir()
	must(t, addRun(t, other, "r2").Finish(RunOK))
	defer func(was []string) { migrations = was }(migrations)
	migrations = append(migrations[:1:1], "ALTER TABLE run ADD COLUMN colour TEXT NOT NULL DEFAULT 'red'")
	lock, err := lockDir(dir)
	must(t, err)
	_, err = Load(dir)
	wantError(t, err, "another ukprobe is writing")
	must(t, lock.Close())
	for _, open := range []func(dir string) error{
		func(dir string) error { _, err := Load(dir); return err },
		func(dir string) error {
			_, err := Resume(dir)
			if errors.Is(err, ErrFinished) {
				return nil
			}
			return fmt.Errorf("resume: %w", err)
		},
		func(dir string) error { return errors.Join(CheckDir(dir), addRun(t, dir, "r2").Finish(RunOK)) },
		func(dir string) error { return Import(dir, []string{other}, func(Imported) {}) },
	} {
		again := t.TempDir()
		must(t, copyFile(filepath.Join(again, DatabaseName), filepath.Join(dir, DatabaseName)))
		must(t, open(again))
		isVersion2(t, again)
	}
}

func isVersion2(t *testing.T, dir string) {
	t.Helper()
	d, err := Open(dir)
	must(t, err)
	defer d.Close()
	var colour string
	must(t, d.db.QueryRow("SELECT colour FROM run WHERE id = 'r1'").Scan(&colour))
	if _, version, err := versionOf(d.db); err != nil || version != 2 || colour != "red" {
		t.Errorf("version %d, %q, %v", version, colour, err)
	}
}

// TestForeignDatabase of another program is not taken for a store.
func TestForeignDatabase(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, DatabaseName)
	must(t, os.WriteFile(path, nil, 0o600))
	_, err := Load(dir)
	wantError(t, err, "no run in", path+" is empty: its writer was killed before it began")
	inDatabase(t, path, "CREATE TABLE letters (text)")
	_, err = Load(dir)
	wantError(t, err, path, "another program's database")
	_, err = Create(dir, testRun(), testHost(), testCells())
	wantError(t, err, "another program's database", "choose another directory")
}

// TestKilledBeforeItBegan: an empty store is as none.
func TestKilledBeforeItBegan(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, DatabaseName), nil, 0o600))
	must(t, CheckDir(dir))
	must(t, mustCreate(t, dir).Finish(RunOK))
	mustLoad(t, dir)
}

// damagedStore has overwritten, with nonsense, the pages that hold a cell's samples in
// the middle. The run has 40 samples of 20 kB each.
func damagedStore(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	s := mustCreate(t, dir)
	for i := range 40 {
		sample := okSample(int64(1000 + i))
		sample.Stderr = randomText(12_000, uint64(i))
		must(t, s.AddSample(0, sample))
	}
	must(t, s.Finish(RunOK))
	f, err := os.OpenFile(filepath.Join(dir, DatabaseName), os.O_RDWR, 0)
	must(t, err)
	st, err := f.Stat()
	must(t, err)
	_, err = f.WriteAt([]byte(strings.Repeat("nonsense", 4096/8*3)), st.Size()/2/4096*4096)
	must(t, errors.Join(err, f.Close()))
	return dir
}

func randomText(n int, seed uint64) string {
	var b strings.Builder
	for x := seed + 1; b.Len() < n; {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		fmt.Fprintf(&b, "%x", x)
	}
	return b.String()
}

// TestDamaged: damage is told, with the way out; that gives every other sample, under its
// own number.
func TestDamaged(t *testing.T) {
	dir := damagedStore(t)
	_, err := Load(dir)
	wantError(t, err, DatabaseName, "ukprobe export --salvage")
	if _, err := Load(filepath.Join(dir, FileName)); err != nil {
		t.Errorf("run.json: %v", err)
	}
	out := filepath.Join(t.TempDir(), "saved.json")
	lost, err := Salvage(out, dir)
	must(t, err)
	f := mustLoad(t, out)
	samples := f.Cells[0].Samples
	gone := 0
	for i, s := range samples {
		switch {
		case s.Status == SampleFailed && strings.Contains(s.Reason, "damaged"):
			gone++
		case *s.Phases.TotalNs != int64(1000+i):
			t.Errorf("sample %d is another's: %d", i+1, *s.Phases.TotalNs)
		}
	}
	if len(samples) != 40 || gone == 0 || gone > 6 || len(lost) < gone {
		t.Errorf("%d of %d samples are lost; told: %q", gone, len(samples), lost)
	}
	if f.Run.ID != "r1" || len(f.Cells) != 2 {
		t.Errorf("the run: %+v", f.Run)
	}
	lost, err = Salvage(filepath.Join(t.TempDir(), "whole.json"), out2store(t, out))
	if err != nil || len(lost) > 0 {
		t.Errorf("of a whole store: %q, %v", lost, err)
	}
}

// TestSalvage: whatever cannot be read is told, also at a cell's end, and all else is there.
func TestSalvage(t *testing.T) {
	for name, tt := range map[string]struct {
		damage string
		ended  bool
		lost   []string
		placed []int // in the first cell's samples, of which there are 4
		size   int
	}{
		"nothing":                  {"", true, nil, nil, 4},
		"histograms":               {"UPDATE histogram SET data = x'00'", true, []string{"the histograms of reference/hello on qemu"}, nil, 4},
		"the last sample":          {"UPDATE sample SET data = x'00' WHERE n = 3", false, []string{"sample 4 of reference/hello on qemu"}, []int{3}, 4},
		"a sample's number":        {"UPDATE sample SET n = 1000000000000 WHERE n = 1", true, []string{"1 samples of the folder's runs", "sample 2 of"}, []int{1}, 4},
		"the same, before its end": {"UPDATE sample SET n = 1000000000000 WHERE n = 1", false, []string{"1 samples", "how many samples", "sample 2 of"}, []int{1}, 4},
		"the last sample's row":    {"DELETE FROM sample WHERE n = 3", true, []string{"1 more samples"}, nil, 3},
		"a row's number":           {"UPDATE sample SET id = 9000000000000000000 WHERE n = 1", true, nil, nil, 4},
		"that, and the index":      {"UPDATE sample SET id = 9000000000000000000, n = -5 WHERE n = 1", true, []string{"sample 2 of"}, []int{1}, 4},
		"a cell":                   {"UPDATE cell SET head = '{' WHERE n = 1", true, []string{"cell 2 of the run"}, nil, 4},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := mustCreate(t, dir)
			for i := range 4 {
				must(t, s.AddSampleWith(0, okSample(int64(1000+i)), []Histogram{{Name: "h", Count: uint64(i)}}))
			}
			if tt.ended {
				must(t, s.Finish(RunOK))
			} else {
				must(t, s.Close())
			}
			whole := mustLoad(t, dir)
			inDatabase(t, filepath.Join(dir, DatabaseName), tt.damage)
			out := filepath.Join(t.TempDir(), "saved.json")
			lost, err := Salvage(out, dir)
			must(t, err)
			for i := range max(len(lost), len(tt.lost)) {
				if len(lost) != len(tt.lost) || !strings.HasPrefix(lost[i], tt.lost[i]) {
					t.Fatalf("told as lost: %q, want %q", lost, tt.lost)
				}
			}
			f := mustLoad(t, out)
			if len(lost) == 0 {
				if d := cmp.Diff(whole, f); d != "" {
					t.Errorf("(-want +got):\n%s", d)
				}
			}
			var placed []int
			for i, sample := range f.Cells[0].Samples {
				if sample.Status == SampleFailed {
					placed = append(placed, i)
				} else if *sample.Phases.TotalNs != int64(1000+i) {
					t.Errorf("sample %d is another's: %d", i+1, *sample.Phases.TotalNs)
				}
			}
			if !slices.Equal(placed, tt.placed) || len(f.Cells[0].Samples) != tt.size {
				t.Errorf("placeholders %v of %d samples, want %v of %d", placed, len(f.Cells[0].Samples), tt.placed, tt.size)
			}
		})
	}
}

// out2store imports a file into a new folder.
func out2store(t *testing.T, file string) string {
	t.Helper()
	dir := t.TempDir()
	must(t, Import(dir, []string{file}, func(Imported) {}))
	return dir
}

// TestDamagedAnywhere: wherever the damage is, reading ends with an error that names the
// store, or with the run.
func TestDamagedAnywhere(t *testing.T) {
	dir := leftRun(t, false, func(s *Store) error { return s.Finish(RunOK) })
	whole, err := os.ReadFile(filepath.Join(dir, DatabaseName))
	must(t, err)
	random := rand.New(rand.NewPCG(1, 1))
	refused := 0
	for range 400 {
		bad := slices.Clone(whole)
		at, n := random.IntN(len(bad)), 1+random.IntN(64)
		for i := at; i < min(at+n, len(bad)); i++ {
			bad[i] = byte(random.Uint32())
		}
		other := t.TempDir()
		must(t, os.WriteFile(filepath.Join(other, DatabaseName), bad, 0o600))
		_, load := Load(other)
		_, _, columns := Columns(other)
		_, list := List(other)
		for _, err := range []error{load, columns, list} {
			if err != nil {
				refused++
				wantError(t, err, filepath.Join(other, DatabaseName))
			}
		}
		if _, err := Salvage(filepath.Join(other, "saved.json"), other); load == nil && err != nil {
			t.Errorf("readable but for salvage: %v", err)
		}
	}
	if refused == 0 {
		t.Error("no damage was noticed")
	}
}

// TestDamagedHead: nothing at all can be read of what is no database any more.
func TestDamagedHead(t *testing.T) {
	dir := t.TempDir()
	must(t, mustCreate(t, dir).Finish(RunOK))
	f, err := os.OpenFile(filepath.Join(dir, DatabaseName), os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt(make([]byte, 4096), 0)
	must(t, errors.Join(err, f.Close()))
	_, err = Load(dir)
	wantError(t, err, "the database is damaged", filepath.Join(dir, FileName))
	_, err = Create(dir, Run{ID: "r2"}, Host{}, nil)
	wantError(t, err, "the database is damaged")
}

// TestReadersWhileWriting, in one process: SQLite's locks are the process's.
func TestReadersWhileWriting(t *testing.T) {
	dir := t.TempDir()
	s := mustCreate(t, dir)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 3 {
		wg.Go(func() {
			for last := 0; ; {
				select {
				case <-stop:
					return
				default:
				}
				f, err := Load(dir)
				if err != nil {
					t.Error(err)
					return
				}
				n := len(f.Cells[0].Samples)
				if n < last || f.Cells[0].Summary["total_ns"].N != n {
					t.Errorf("%d samples after %d, %d in the summary", n, last, f.Cells[0].Summary["total_ns"].N)
				}
				last = n
			}
		})
	}
	for i := range 50 {
		must(t, s.AddSampleWith(0, okSample(int64(i+1)), []Histogram{{Name: "h", Count: uint64(i)}}))
	}
	must(t, s.Finish(RunOK))
	close(stop)
	wg.Wait()
	f := mustLoad(t, dir)
	if len(f.Cells[0].Samples) != 50 || f.Cells[0].Histograms[0].Count != 49 {
		t.Errorf("%d samples, histograms %+v", len(f.Cells[0].Samples), f.Cells[0].Histograms)
	}
	// If somebody read in the moment of the end, the log may be left; the next writer's end
	// takes it away.
	must(t, addRun(t, dir, "r2").Finish(RunOK))
	if d := cmp.Diff([]string{FileName, DatabaseName}, entries(t, dir)); d != "" {
		t.Errorf("left in the folder (-want +got):\n%s", d)
	}
}

// TestLogOnceReadersLetIt: a reader at the run's start only puts off the write-ahead log.
func TestLogOnceReadersLetIt(t *testing.T) {
	dir := t.TempDir()
	must(t, mustCreate(t, dir).Finish(RunOK))
	d, err := Open(dir)
	must(t, err)
	defer d.Close()
	db, err := sql.Open("sqlite", dsn(filepath.Join(dir, DatabaseName), "rw", url.Values{"_busy_timeout": {"0"}}))
	must(t, err)
	defer db.Close()
	db.SetMaxOpenConns(1)
	reading := func(do func()) {
		must(t, d.view(func(tx *sql.Tx) error {
			if _, err := listRuns(tx); err != nil {
				return err
			}
			do()
			return nil
		}))
	}
	reading(func() {
		if mode := useLog(db, 50*time.Millisecond); mode != "delete" {
			t.Errorf("while somebody reads: %q", mode)
		}
	})
	mode := make(chan string, 1)
	reading(func() {
		go func() { mode <- useLog(db, time.Minute) }()
		time.Sleep(100 * time.Millisecond)
	})
	if got := <-mode; got != "wal" {
		t.Errorf("once nobody reads: %q", got)
	}
}

// TestSettledAgain: a run that goes on is counted anew, and then as it ended.
func TestSettledAgain(t *testing.T) {
	dir := leftRun(t, false, func(s *Store) error { return s.Finish(RunInterrupted) })
	s, err := Resume(dir)
	must(t, err)
	must(t, s.BeginPart(Part{Started: started.Add(time.Hour)}))
	must(t, s.AddSample(0, okSample(1)))
	check := func(status string) {
		t.Helper()
		list, err := List(dir)
		must(t, err)
		if list[0].Samples != 6 || list[0].Status != status || list[0].OK != 2 {
			t.Errorf("%+v", list[0])
		}
		_, cells, err := Columns(dir)
		must(t, err)
		if n := len(cells[0].Values["total_ns"]); n != 3 {
			t.Errorf("%d values", n)
		}
	}
	check(RunRunning)
	must(t, s.Finish(RunOK))
	check(RunOK)
}
