// SPDX-License-Identifier: Apache-2.0

package network

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// openTapAs opens a tap as another user and group. It is to be called on a locked
// thread, which alone is somebody else meanwhile.
func openTapAs(t *testing.T, name string, user int) error {
	t.Helper()
	f, err := os.OpenFile(tunDevice, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	become := func(id int) {
		const same = ^uintptr(0)
		for _, call := range []uintptr{unix.SYS_SETRESGID, unix.SYS_SETRESUID} {
			if _, _, errno := unix.RawSyscall(call, same, uintptr(id), same); errno != 0 {
				t.Errorf("become %d: %v", id, errno)
			}
		}
	}
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	become(user)
	err = unix.IoctlIfreq(int(f.Fd()), unix.TUNSETIFF, ifr)
	if user != 0 {
		// Back: the user first, for only root may change its group.
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), 0, ^uintptr(0)); errno != 0 {
			t.Error(errno)
		}
		become(0)
	}
	return err
}

// TestTapUser: besides root, whom the tap is made for can open it, and nobody else.
func TestTapUser(t *testing.T) {
	needTun(t)
	l, _ := newLab(t)
	const user = 65534
	for _, tt := range []struct {
		owner, opener int
		want          error
	}{{user, user, nil}, {user, 0, nil}, {0, 0, nil}, {0, user, unix.EPERM}, {1234, user, unix.EPERM}} {
		tap, err := l.Tap(TapOptions{User: tt.owner})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Do(func() error { return openTapAs(t, tap.Name, tt.opener) }); !errors.Is(err, tt.want) {
			t.Errorf("a tap of user %d, opened by %d: %v; want %v", tt.owner, tt.opener, err, tt.want)
		}
		if err := tap.Close(); err != nil {
			t.Error(err)
		}
	}
}
