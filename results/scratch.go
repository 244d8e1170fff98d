// SPDX-License-Identifier: Apache-2.0

package results

import (
	"os"
	"sync"
)

// scratch are the files and folders that this process has made and will not leave behind.
var scratch = struct {
	sync.Mutex
	undo map[int]func()
	next int
}{undo: map[int]func(){}}

// Abandon removes what has been begun here and is not finished: temporary files and
// folders, and a store without a run. It is for a process that ends in the middle of a call
// into this package; from then on nothing more is begun.
func Abandon() {
	scratch.Lock() // for good: see [making]
	for _, undo := range scratch.undo {
		undo()
	}
}

// making makes what [Abandon] undoes until it is kept.
func making(do func() error, undo func()) (kept func(), err error) {
	scratch.Lock()
	defer scratch.Unlock()
	if err := do(); err != nil {
		return func() {}, err
	}
	id := scratch.next
	scratch.next++
	scratch.undo[id] = undo
	return func() {
		scratch.Lock()
		defer scratch.Unlock()
		delete(scratch.undo, id)
	}, nil
}

// makingFile makes a file that is not there yet.
func makingFile(path string, perm os.FileMode) (f *os.File, kept func(), err error) {
	kept, err = making(func() error {
		f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
		return err
	}, func() { _ = os.Remove(path) })
	return f, kept, err
}
