// SPDX-License-Identifier: Apache-2.0

package results

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// wantNoRoom checks that an error says once that there is no room, and what to do.
func wantNoRoom(t *testing.T, at string, err error, parts ...string) {
	t.Helper()
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%s: %v", at, err)
		return
	}
	for _, p := range append(parts, "make room") {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("%s: %q lacks %q", at, err, p)
		}
	}
	if n := strings.Count(err.Error(), syscall.ENOSPC.Error()); n != 1 {
		t.Errorf("%s: told %d times: %v", at, n, err)
	}
}

// TestNoInodes: each file that a run makes finds no inode.
func TestNoInodes(t *testing.T) {
	const inodes = 12
	for left := range 5 { // the folder; the store; its log; the log's index; run.json
		onTmpfs(t, fmt.Sprintf("8m,nr_inodes=%d", inodes), func(dir string) {
			var st syscall.Statfs_t
			if err := syscall.Statfs(dir, &st); err != nil {
				t.Error(err)
				return
			}
			for i := range int(st.Ffree) - left {
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o600); err != nil {
					t.Error(err)
					return
				}
			}
			at := fmt.Sprintf("with %d inodes", left)
			run := filepath.Join(dir, "run")
			s, err := Create(run, testRun(), testHost(), testCells())
			switch left {
			case 0:
				if !errors.Is(err, syscall.ENOSPC) {
					t.Errorf("%s: %v", at, err)
				}
				return
			case 1, 2:
				wantNoRoom(t, at, err, "no inodes left: remove files", "choose another directory", run)
				return
			case 3:
				if err != nil { // the index finds none
					wantNoRoom(t, at, err, "no inodes left: remove files", "choose another directory", run)
					return
				}
			}
			if err != nil {
				t.Errorf("%s: %v", at, err)
				return
			}
			if err := s.AddSample(0, okSample(1)); err != nil {
				t.Errorf("%s: %v", at, err)
			}
			wantNoRoom(t, at, s.Finish(RunOK), "write "+filepath.Join(run, FileName), "no inodes left: remove files", "ukprobe export --out")
		})
	}
}

// TestNoRoomAtTheStart: with each size of file system, a run begins or says that there is
// no room for it.
func TestNoRoomAtTheStart(t *testing.T) {
	began, refused := 0, 0
	for size := 4; size <= 240; size += 12 {
		onTmpfs(t, fmt.Sprintf("%dk", size), func(dir string) {
			at := fmt.Sprintf("of %d KiB", size)
			run := filepath.Join(dir, "run")
			s, err := Create(run, testRun(), testHost(), testCells())
			if err != nil {
				refused++
				wantNoRoom(t, at, err, "file system is full", "choose another directory")
				return
			}
			began++
			defer s.Close()
			for n := int64(1); err == nil && n < 1000; n++ {
				err = s.AddSample(0, okSample(n))
			}
			wantNoRoom(t, at, err, "intact in "+run, "ukprobe run --resume "+run+"@r1")
			if _, err := Load(run); err != nil {
				t.Errorf("%s: read while it is full: %v", at, err)
			}
		})
	}
	if began == 0 || refused == 0 {
		t.Errorf("%d runs began, %d did not", began, refused)
	}
}
