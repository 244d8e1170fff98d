// SPDX-License-Identifier: Apache-2.0

// Package lockfile keeps processes out of each other's way by flock(2).
package lockfile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// quiet is how long a lock is waited for without a word.
const quiet = time.Second

// Take takes an exclusive lock on the file at path, which it makes if need be, waiting
// until it is free or ctx ends. Of a wait that takes long logf is told once; it may be
// nil. The lock also goes when the process dies. Two calls of one process keep out of
// each other's way too.
func Take(ctx context.Context, path string, logf func(format string, args ...any)) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, err
	}
	for begun, told := time.Now(), logf == nil; ; {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if !told && time.Since(begun) > quiet {
			told = true
			logf("waiting for the lock %s, held by %s: another ukprobe builds or fetches there", path, holder(path))
		}
		select {
		case <-ctx.Done():
			by := holder(path)
			_ = f.Close()
			return nil, fmt.Errorf("wait for the lock %s, held by %s: %w", path, by, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}
