// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// leftovers looks for the journals of runs that ended without putting the host
// back. A run that is alive holds a lock on its journal.
func leftovers(dir string) Check {
	const g = group(groupHost)
	list, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return g.ok("leftovers", "none")
	}
	if err != nil {
		return g.warn("leftovers", "unknown: "+err.Error(), "run as root")
	}
	var dead, live []string
	for _, e := range list {
		run, ok := strings.CutSuffix(e.Name(), ".journal")
		if !ok {
			continue
		}
		switch held, err := locked(filepath.Join(dir, e.Name())); {
		case errors.Is(err, os.ErrNotExist): // it ended meanwhile
		case err != nil:
			return g.warn("leftovers", "unknown: "+err.Error(), "run as root")
		case held:
			live = append(live, run)
		default:
			dead = append(dead, run)
		}
	}
	switch {
	case len(dead) > 0:
		return g.warn("leftovers", fmt.Sprintf("of runs that are gone: %s", join(dead)), "ukprobe clean")
	case len(live) > 0:
		return g.warn("leftovers", fmt.Sprintf("none; runs under way: %s", join(live)), "wait for them to end: two runs at a time disturb each other")
	}
	return g.ok("leftovers", "none")
}

// locked tells whether another process holds the lock on a file.
func locked(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) // given back by Close
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}
