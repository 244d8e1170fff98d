// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
)

// fill makes a file of so many bytes, each of which is written: to read a hole is to read
// nothing. What is in it cannot be compressed, and is the same each time. Everybody may
// write to it, as to a copy (see copyTo).
func fill(ctx context.Context, path string, size int64) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Chmod(0o666); err != nil {
		return err
	}
	noise := rand.NewChaCha8([32]byte{})
	buf := make([]byte, 1<<20)
	for size > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		part := buf[:min(size, int64(len(buf)))]
		_, _ = noise.Read(part) // never fails
		if _, err := f.Write(part); err != nil {
			return err
		}
		size -= int64(len(part))
	}
	return f.Sync() // or the first samples would be written back during it
}
