// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/bpf"
)

func openDisk(t *testing.T, o DiskOptions) *Disk {
	t.Helper()
	needRoot(t)
	d, err := OpenDisk(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func diskFile(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// use reads, writes and flushes a file by each of the calls: 3 writes of 9216 bytes in all,
// 4 reads of 5120, one of them of nothing, 2 flushes, and one call that fails.
func use(t *testing.T, f *os.File) {
	t.Helper()
	fd, buf := int(f.Fd()), make([]byte, 4096)
	_, err1 := unix.Pwrite(fd, buf, 0)
	_, err2 := unix.Pwritev(fd, [][]byte{buf[:512], buf[512:1024]}, 4096)
	_, err3 := unix.Seek(fd, 0, 0)
	_, err4 := unix.Write(fd, buf)
	_, err5 := unix.Pread(fd, buf, 0)
	_, err6 := unix.Preadv(fd, [][]byte{buf[:512]}, 0)
	_, err7 := unix.Seek(fd, 0, 0)
	_, err8 := unix.Readv(fd, [][]byte{buf[:512]})
	_, err9 := unix.Pread(fd, buf, 1<<20) // behind the end
	must(t, err1, err2, err3, err4, err5, err6, err7, err8, err9, unix.Fsync(fd), unix.Fdatasync(fd))
	if _, err := unix.Pread(fd, buf, -1); err == nil {
		t.Fatal("read at -1")
	}
}

// Just what was done with a file is seen, whatever the rung: not what was done with
// others, nor by others.
func TestDisk(t *testing.T) {
	for _, rung := range []Rung{TPBTF, RawTP} {
		t.Run(string(rung), func(t *testing.T) {
			mine, other := diskFile(t), diskFile(t)
			d := openDisk(t, DiskOptions{Attach: rung, Files: []string{mine.Name()}})
			if d.Hook().Rung != rung {
				t.Skipf("the kernel has no %s for it: %s", rung, d.Hook().Rung)
			}
			began := time.Now()
			use(t, mine)
			use(t, other)
			dup, err := unix.Dup(int(mine.Fd()))
			must(t, err)
			_, err = unix.Pwrite(dup, make([]byte, 1024), 0)
			must(t, err, unix.Close(dup))
			took := time.Since(began)
			got, err := d.Read()
			must(t, err)
			for name, c := range map[string]struct {
				got                  DiskCalls
				count, bytes, errors uint64
				sizes                map[int]uint64
			}{
				"reads":   {got.Reads, 4, 5120, 1, map[int]uint64{12: 1, 9: 2}},
				"writes":  {got.Writes, 4, 10240, 0, map[int]uint64{12: 2, 10: 2}},
				"flushes": {got.Flushes, 2, 0, 0, nil},
			} {
				if c.got.Count != c.count || c.got.Bytes != c.bytes || c.got.Errors != c.errors || c.got.Latency.Count != c.count {
					t.Errorf("%s: %+v; want %d of %d bytes, %d errors", name, c.got, c.count, c.bytes, c.errors)
				}
				for class, n := range c.got.Sizes {
					if n != c.sizes[class] {
						t.Errorf("%s of 2^%d bytes: %d, want %d", name, class, n, c.sizes[class])
					}
				}
				if sum := time.Duration(c.got.Latency.SumNS); sum <= 0 || sum > took {
					t.Errorf("%s took %v in all, and all of it took %v", name, sum, took)
				}
			}
			if got.Lost != 0 || got.Calls < 20 { // 11 of each file that moved something or flushed
				t.Errorf("%d were lost; of whatever file %d", got.Lost, got.Calls)
			}
			use(t, mine)
			again, err := d.Read()
			must(t, err)
			if since := again.Since(got); since.Reads.Count != 4 || since.Writes.Count != 3 || since.Writes.Bytes != 9216 || since.Flushes.Latency.Count != 2 {
				t.Errorf("since then: %+v", since)
			}
		})
	}
}

// Of another cgroup nothing counts, though the file is the same. A file that has lost its
// name counts if that is asked for.
func TestDiskOfWhom(t *testing.T) {
	f, gone := diskFile(t), diskFile(t)
	must(t, os.Remove(gone.Name()))
	others := openDisk(t, DiskOptions{Group: 1 << 60, Files: []string{f.Name()}})
	unlinked := openDisk(t, DiskOptions{Unlinked: true})
	use(t, f)
	use(t, gone)
	got, err := others.Read()
	must(t, err)
	if got.Reads.Count+got.Writes.Count+got.Flushes.Count+got.Calls != 0 {
		t.Errorf("of another group: %+v", got)
	}
	// What else runs on the machine may have such files too.
	if got, err = unlinked.Read(); err != nil || got.Writes.Count < 3 || got.Flushes.Count < 2 {
		t.Errorf("of files without a name: %+v, %v", got, err)
	}
}

// What there is no room for is counted.
func TestDiskLost(t *testing.T) {
	f := diskFile(t)
	d := openDisk(t, DiskOptions{Files: []string{f.Name()}})
	pending := d.loader.maps[bpf.DiskMapDiskPending]
	for tid := uint32(1 << 30); ; tid++ { // no thread's
		if err := pending.Put(tid, bpf.DiskDiskCall{}); errors.Is(err, unix.E2BIG) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	use(t, f)
	got, err := d.Read()
	must(t, err)
	if got.Lost < 10 || got.Writes.Count != 0 {
		t.Errorf("%+v: want all lost", got)
	}
}

func TestDiskErrors(t *testing.T) {
	needRoot(t)
	if d, err := OpenDisk(DiskOptions{Files: []string{filepath.Join(t.TempDir(), "absent")}}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v, %v", d, err)
	}
	many := make([]string, 0, 17)
	for range cap(many) {
		many = append(many, diskFile(t).Name())
	}
	if d, err := OpenDisk(DiskOptions{Files: many}); err == nil || !strings.Contains(err.Error(), "too many files") {
		t.Errorf("more files than there is room for: %v, %v", d, err)
	}
}
