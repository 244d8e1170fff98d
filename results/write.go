// SPDX-License-Identifier: Apache-2.0

package results

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"time"
)

// rewrite replaces run.json by the present state and empties the journal.
func (s *Store) rewrite() error {
	start := time.Now()
	if err := s.encode(); err != nil {
		return err
	}
	size, err := s.replace()
	if err != nil {
		return err
	}
	if err := s.dirFile.Sync(); err != nil {
		return err
	}
	s.size, s.rewrittenAt = size, time.Now()
	s.rewriteTook = s.rewrittenAt.Sub(start)
	s.journal.truncate()
	return nil
}

// encode brings the encoded pieces up to date. Samples are encoded when added.
func (s *Store) encode() (err error) {
	if s.enc.run, err = json.Marshal(s.file.Run); err != nil {
		return err
	}
	if s.enc.host, err = json.Marshal(s.file.Host); err != nil {
		return err
	}
	for i := range s.stale {
		c := &s.file.Cells[i]
		c.Summary = c.Summarize()
		if err := s.enc.cells[i].set(c); err != nil {
			return err
		}
		delete(s.stale, i)
	}
	return nil
}

// replace writes the encoded run beside run.json and renames it over it. It
// returns the file's size in bytes. No temporary file is left behind.
func (s *Store) replace() (size int64, err error) {
	temp := filepath.Join(s.dir, tempName)
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(temp)
		}
	}()
	if err = s.enc.writeTo(f); err != nil {
		return 0, err
	}
	if size, err = f.Seek(0, io.SeekCurrent); err != nil {
		return 0, err
	}
	if err = f.Sync(); err != nil {
		return 0, err
	}
	if err = f.Close(); err != nil {
		return 0, err
	}
	return size, os.Rename(temp, filepath.Join(s.dir, FileName))
}

// syncDir makes a name in path's directory durable.
func syncDir(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
