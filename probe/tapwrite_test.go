// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/bpf"
)

// TestTapWrites: what a VMM writes to its tap is a frame on each rung, and a write of
// nothing, by which some look whether the tap is there, is none.
func TestTapWrites(t *testing.T) {
	for _, rung := range []Rung{Auto, Kprobe, Fentry, TPBTF, RawTP} {
		t.Run(string(rung), func(t *testing.T) {
			p := openProbe(t, Options{Attach: rung})
			if s := p.state(HookTapOut); rung != Auto && s.rung != rung {
				t.Skipf("no %s for %s here", rung, HookTapOut)
			}
			_, _, id := freshCgroup(t)
			w, err := p.Watch(Target{CgroupID: id})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = w.Close() })
			inNamespace(t, func(int) error {
				tap, err := addTap("uktap0", 1)
				if err != nil {
					return err
				}
				fd, err := attachTap(tap.Attrs().Name)
				if err != nil {
					return err
				}
				defer unix.Close(fd)
				if err := w.WatchDevice(tap.Attrs().Index); err != nil {
					return err
				}
				if _, err := unix.Write(fd, nil); err == nil {
					return fmt.Errorf("a frame of no bytes was taken")
				}
				if e, ok := w.Timeline().At(EventFrameOut); ok {
					t.Errorf("%+v after nothing was written", e)
				}
				for range 3 {
					if _, err := unix.Write(fd, append(arpAsk(guest, client), make([]byte, 18)...)); err != nil {
						return err
					}
				}
				if n := countsOf(t, w).Values["tap_frames_out"]; n != 3 {
					t.Errorf("%d frames by %s, want 3 (%d hits)", n, p.state(HookTapOut).rung, p.hits(bpf.KVMHookHOOK_TAP_OUT))
				}
				if _, ok := w.Timeline().At(EventFrameOut); !ok {
					t.Error("no frame_out")
				}
				return nil
			})
		})
	}
}

// attachTap attaches to the tap of that name, as a VMM does.
func attachTap(name string) (int, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}
