// SPDX-License-Identifier: Apache-2.0

package network

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

var errGoexit = errors.New("the function ended its goroutine (runtime.Goexit, or t.Fatal in a test)")

// do runs fn on an OS thread of its own inside ns. A thread that cannot be put
// back stays locked, so that the runtime ends it with its goroutine instead of
// giving it, in the wrong namespace, to someone else.
func do(ns netns.NsHandle, fn func() error) error {
	return onThread(func() error { return netns.Set(ns) }, fn)
}

// onThread locks a thread, runs enter, which may move it to another network
// namespace, then fn, and moves it back. It is never the process's main thread:
// that one the runtime cannot end, and /proc/PID/ns/net is its namespace.
func onThread(enter, fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// While this goroutine occupies the main thread another one gets
			// another thread.
			done <- onThread(enter, fn)
			runtime.UnlockOSThread()
			return
		}
		err := errGoexit
		defer func() { done <- err }()
		home, homeErr := netns.Get()
		if homeErr != nil {
			err = fmt.Errorf("this thread's network namespace: %w", homeErr)
			return
		}
		defer func() {
			if netns.Set(home) == nil {
				runtime.UnlockOSThread()
			}
			_ = home.Close()
		}()
		if enterErr := enter(); enterErr != nil {
			err = fmt.Errorf("enter network namespace: %w", enterErr)
			return
		}
		err = fn()
	}()
	return <-done
}
