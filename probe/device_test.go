// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"errors"
	"net"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/bpf"
)

// inNamespace runs fn on a thread in a network namespace of its own, in which lo
// is up. Thread and namespace end with it.
func inNamespace(t *testing.T, fn func(lo int) error) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the runtime ends the thread
		err := errors.New("the test has ended this goroutine")
		defer func() { done <- err }() // also when a helper calls t.Fatal here
		if e := unix.Unshare(unix.CLONE_NEWNET); e != nil {
			err = e
			return
		}
		lo, e := netlink.LinkByName("lo")
		if e == nil {
			e = netlink.LinkSetUp(lo)
		}
		if e == nil {
			e = fn(lo.Attrs().Index)
		}
		err = e
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// sendFrames sends datagrams to nobody over lo: each passes it in both directions.
func sendFrames(n int) error {
	conn, err := net.Dial("udp", "127.0.0.1:9")
	if err != nil {
		return err
	}
	defer conn.Close()
	for range n {
		// The answer, "port unreachable", is an error of the next write.
		if _, err := conn.Write([]byte("x")); err != nil && !errors.Is(err, unix.ECONNREFUSED) {
			return err
		}
	}
	return nil
}

// TestDeviceRungsCountAlike: tcx and clsact on a real device see the same frames.
func TestDeviceRungsCountAlike(t *testing.T) {
	const sent = 10
	counts := map[Rung]map[string]uint64{}
	for _, rung := range []Rung{TCX, Clsact} {
		b := newBench(t, 1, SVM)
		w := b.open(Target{CgroupID: nowhere})
		inNamespace(t, func(lo int) error {
			progs, err := b.tcLoad()
			if err != nil {
				return err
			}
			dev, err := w.newDevice(lo)
			if err != nil {
				return err
			}
			if err := w.addDevice(dev); err != nil {
				return err
			}
			dev.Rung = rung
			attach := map[Rung]func(*tcPrograms) error{TCX: dev.attachTCX, Clsact: dev.attachClsact}[rung]
			if err := attach(progs); rung == TCX && err != nil {
				t.Logf("no tcx here: %v", err)
				return nil
			} else if err != nil {
				return err
			}
			w.dev = dev
			if err := sendFrames(sent); err != nil {
				return err
			}
			counts[rung] = countsOf(t, w).Values
			err = dev.Close()
			w.dev = nil
			if err != nil {
				return err
			}
			before := b.hits(bpf.KVMHookHOOK_TC_OUT)
			if err := sendFrames(1); err != nil {
				return err
			}
			if after := b.hits(bpf.KVMHookHOOK_TC_OUT); after != before {
				t.Errorf("%s: %d frames seen after it was closed", rung, after-before)
			}
			return noQdisc(lo)
		})
	}
	// Each datagram and each answer that there is no such port, both ways. The
	// kernel limits those answers; so much is sure:
	for rung, c := range counts {
		if c["frames_out"] < sent || c["frames_out"] != c["frames_in"] || c["bytes_out"] != c["bytes_in"] || c["bytes_out"] < 43*c["frames_out"] {
			t.Errorf("%s: %v, want %d frames or more, alike in both directions", rung, c, sent)
		}
	}
	if len(counts) == 2 {
		if diff := cmp.Diff(counts[TCX], counts[Clsact]); diff != "" {
			t.Errorf("tcx and clsact differ (-tcx +clsact):\n%s", diff)
		}
	} else if len(counts) != 1 {
		t.Error("neither tcx nor clsact could be had")
	}
}

// noQdisc: the clsact qdisc is gone with its filters.
func noQdisc(ifindex int) error {
	list, err := netlink.QdiscList(nil)
	if err != nil {
		return err
	}
	for _, q := range list {
		if q.Attrs().LinkIndex == ifindex && q.Type() == "clsact" {
			return errors.New("the clsact qdisc is still there")
		}
	}
	return nil
}

// TestWatchDevice takes a device while a collector reads, as a scrape does.
func TestWatchDevice(t *testing.T) {
	p := openProbe(t, Options{})
	_, _, id := freshCgroup(t)
	w, err := p.Watch(Target{CgroupID: id, ServicePort: 80})
	if err != nil {
		t.Fatal(err)
	}
	c := NewCollector(p)
	c.Track(w)
	stop, scraped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(scraped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			ch := make(chan prometheus.Metric, 1000)
			c.Collect(ch)
		}
	}()
	inNamespace(t, func(lo int) error {
		if err := w.WatchDevice(lo); err != nil {
			return err
		}
		if err := w.WatchDevice(lo); err == nil {
			t.Error("a second device is no error")
		}
		if err := sendFrames(3); err != nil {
			return err
		}
		tl := w.Timeline()
		// By tc, or by the tap hook's tracepoint, which is a moment earlier.
		if e, ok := tl.At(EventFrameOut); !ok || e.Rung == "" {
			t.Errorf("frame_out: %+v, %v", e, ok)
		}
		close(stop)
		<-scraped
		if n := countsOf(t, w).Values["frames_out"]; n < 3 {
			t.Errorf("%d frames, want 3 or more", n)
		}
		return w.Close()
	})
	rungs := map[string]Rung{}
	for _, h := range p.Hooks() {
		rungs[h.Hook] = h.Rung
	}
	if rungs[HookTCOut] == "" || rungs[HookTCOut] != rungs[HookTCIn] {
		t.Errorf("rungs of the device: %v", rungs)
	}
}

// TestFramesOfAnotherNamespace: a device of the same index elsewhere on the host
// is not the guest's. Indexes are counted from 1 in each namespace.
func TestFramesOfAnotherNamespace(t *testing.T) {
	p := openProbe(t, Options{})
	w, err := p.Watch(Target{CgroupID: nowhere})
	if err != nil {
		t.Fatal(err)
	}
	inNamespace(t, func(lo int) error {
		if err := w.WatchDevice(lo); err != nil {
			return err
		}
		inNamespace(t, func(other int) error {
			if other != lo {
				t.Fatalf("lo is %d here and %d there", other, lo)
			}
			return sendFrames(10)
		})
		if tl, c := w.Timeline(), countsOf(t, w); len(tl.Events) != 0 || c.Values["tap_frames_out"]+c.Values["tap_frames_in"] != 0 {
			t.Errorf("another namespace's frames: events %+v, values %v", tl.Events, c.Values)
		}
		return w.Close()
	})
}

// TestWatchDeviceThatIsNotThere: the error names both rungs, and nothing stays.
func TestWatchDeviceThatIsNotThere(t *testing.T) {
	b := newBench(t, 1, SVM)
	w := b.open(Target{CgroupID: nowhere})
	inNamespace(t, func(int) error {
		if err := w.WatchDevice(4711); err == nil || w.device() != nil {
			t.Errorf("error %v, device %v", err, w.device())
		}
		return nil
	})
	keys, d := b.loader.maps[bpf.KVMMapDevices].Iterate(), bpf.KVMDevice{}
	if keys.Next(new(bpf.KVMDeviceKey), &d) {
		t.Error("the device is still in the map")
	}
}

// TestDevicesOfOneIndex: two namespaces have a tap of the same index each, and each
// watch counts the frames of its own.
func TestDevicesOfOneIndex(t *testing.T) {
	p := openProbe(t, Options{Slots: 2})
	var indexes []int
	var watches []*Watch
	for i := range 2 {
		ns := newNetNS(t)
		w, err := p.Watch(Target{CgroupID: nowhere + uint64(i), Flows: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = w.Close() })
		watches = append(watches, w)
		ns.do(func() error {
			tap, err := openTun("tap0")
			if err != nil {
				return err
			}
			t.Cleanup(func() { _ = tap.Close() })
			l, err := netlink.LinkByName("tap0")
			if err != nil {
				return err
			}
			indexes = append(indexes, l.Attrs().Index)
			if err := netlink.LinkSetUp(l); err != nil {
				return err
			}
			if err := w.WatchDevice(l.Attrs().Index); err != nil {
				return err
			}
			for range i + 1 {
				if _, err := tap.Write(arpAsk(guest, client)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if len(indexes) != 2 || indexes[0] != indexes[1] {
		t.Fatalf("the taps have the indexes %v: they have to be equal for this test", indexes)
	}
	for i, w := range watches {
		if got := countsOf(t, w).Values["frames_out"]; got != uint64(i+1) {
			t.Errorf("guest %d: %d frames out, want %d", i, got, i+1)
		}
	}
}
