// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/bpf"
)

// theirs adds somebody else's filter, which lets every frame pass for good.
func theirs(t *testing.T, ifindex int, priority uint16) error {
	return netlink.FilterAdd(&netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{LinkIndex: ifindex, Parent: netlink.HANDLE_MIN_INGRESS, Handle: 1, Protocol: unix.ETH_P_ALL, Priority: priority},
		Fd:          verdict(t, tcActOK).FD(), Name: "theirs", DirectAction: true,
	})
}

// deviceAt is a device that nobody watches yet.
func deviceAt(ifindex int) *Device {
	return &Device{key: bpf.KVMDeviceKey{Ifindex: uint32(ifindex)}}
}

// onDevice lists a device's clsact qdisc and its filters by name.
func onDevice(ifindex int) ([]string, error) {
	l, err := netlink.LinkByIndex(ifindex)
	if err != nil {
		return nil, err
	}
	qdiscs, err := netlink.QdiscList(l)
	if err != nil {
		return nil, err
	}
	out := []string{}
	for _, q := range qdiscs {
		if q.Type() == "clsact" || q.Type() == "ingress" {
			out = append(out, q.Type())
		}
	}
	for _, parent := range []uint32{netlink.HANDLE_MIN_INGRESS, netlink.HANDLE_MIN_EGRESS} {
		filters, err := netlink.FilterList(l, parent)
		if err != nil {
			return nil, err
		}
		for _, f := range filters {
			out = append(out, f.(*netlink.BpfFilter).Name)
		}
	}
	return out, nil
}

// TestClsactLeavesOthersAlone: whatever else is on the device works on and stays.
func TestClsactLeavesOthersAlone(t *testing.T) {
	addQdisc := func(ifindex int) error { return netlink.QdiscAdd(deviceAt(ifindex).clsact()) }
	for _, tt := range []struct {
		name          string
		before, while func(t *testing.T, ifindex int) error
		during, after []string
	}{
		{"nobody else", nil, nil, []string{"clsact", "ukprobe_out", "ukprobe_in"}, []string{}},
		{"a filter that comes later", nil, func(t *testing.T, i int) error { return theirs(t, i, 7) }, []string{"clsact", "ukprobe_out", "theirs", "ukprobe_in"}, []string{"clsact", "theirs"}},
		{"an empty qdisc", func(_ *testing.T, i int) error { return addQdisc(i) }, nil,
			[]string{"clsact", "ukprobe_out", "ukprobe_in"}, []string{"clsact"}},
		{"a filter that was there", func(t *testing.T, i int) error {
			if err := addQdisc(i); err != nil {
				return err
			}
			return theirs(t, i, 1) // where ours would be
		}, nil, []string{"clsact", "ukprobe_out", "theirs", "ukprobe_in"}, []string{"clsact", "theirs"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, 1, SVM)
			w := b.open(Target{CgroupID: nowhere})
			progs, err := b.tcLoad()
			if err != nil {
				t.Fatal(err)
			}
			inNamespace(t, func(lo int) error {
				if tt.before != nil {
					if err := tt.before(t, lo); err != nil {
						return err
					}
				}
				dev, err := w.newDevice(lo)
				if err != nil {
					return err
				}
				if err := w.addDevice(dev); err != nil {
					return err
				}
				if err := dev.attachClsact(progs); err != nil {
					return err
				}
				w.mu.Lock()
				w.dev = dev
				w.mu.Unlock()
				if err := sendFrames(3); err != nil {
					return err
				}
				if n := countsOf(t, w).Values["frames_out"]; n < 3 {
					t.Errorf("%d frames out, want 3 or more", n)
				}
				if tt.while != nil {
					if err := tt.while(t, lo); err != nil {
						return err
					}
				}
				if got, err := onDevice(lo); err != nil || cmp.Diff(tt.during, got) != "" {
					t.Errorf("while watched: %v, %v, want %v", got, err, tt.during)
				}
				if err := w.Close(); err != nil {
					return err
				}
				if got, err := onDevice(lo); err != nil || cmp.Diff(tt.after, got) != "" {
					t.Errorf("when closed: %v, %v, want %v", got, err, tt.after)
				}
				return nil
			})
		})
	}
}

// TestClsactBesideIngress: a qdisc of kind ingress would take both filters for its
// one direction.
func TestClsactBesideIngress(t *testing.T) {
	b := newBench(t, 1, SVM)
	progs, err := b.tcLoad()
	if err != nil {
		t.Fatal(err)
	}
	inNamespace(t, func(lo int) error {
		q := &netlink.Ingress{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: lo, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_INGRESS}}
		if err := netlink.QdiscAdd(q); err != nil {
			return err
		}
		if err := deviceAt(lo).attachClsact(progs); err == nil || !strings.Contains(err.Error(), "ingress") {
			t.Errorf("error %v, want one that names the kind", err)
		}
		got, err := onDevice(lo)
		if diff := cmp.Diff([]string{"ingress"}, got); diff != "" {
			t.Errorf("on the device (-want +got):\n%s", diff)
		}
		return err
	})
}

// TestClsactClosedFromElsewhere: the undoing is done where the device is, and not on
// the device of the same index where the thread is.
func TestClsactClosedFromElsewhere(t *testing.T) {
	b := newBench(t, 1, SVM)
	progs, err := b.tcLoad()
	if err != nil {
		t.Fatal(err)
	}
	const lo = 1
	here, elsewhere := newNetNS(t), newNetNS(t)
	var dev *Device
	w := b.open(Target{CgroupID: nowhere})
	here.do(func() (err error) {
		if dev, err = w.newDevice(lo); err != nil {
			return err
		}
		return dev.attachClsact(progs)
	})
	elsewhere.do(func() error {
		if err := netlink.QdiscAdd(deviceAt(lo).clsact()); err != nil {
			return err
		}
		return dev.Close()
	})
	for ns, want := range map[*netNS][]string{here: {}, elsewhere: {"clsact"}} {
		ns.do(func() error {
			got, err := onDevice(lo)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("on the device (-want +got):\n%s", diff)
			}
			return err
		})
	}
}

// TestOnlyTCX: where tcx cannot be had WatchDevice falls back to clsact, and
// WatchDeviceByTCX leaves the device as it was.
func TestOnlyTCX(t *testing.T) {
	p := openProbe(t, Options{})
	w, err := p.Watch(Target{CgroupID: nowhere})
	if err != nil {
		t.Fatal(err)
	}
	inNamespace(t, func(lo int) error {
		// A kernel with tcx has room for 64 programs (BPF_MPROG_MAX).
		for range 64 {
			l, err := link.AttachTCX(link.TCXOptions{Interface: lo, Program: verdict(t, -1), Attach: ebpf.AttachTCXIngress})
			if err != nil {
				t.Logf("no tcx: %v", err)
				break
			}
			defer l.Close()
		}
		err := w.WatchDeviceByTCX(lo)
		if err == nil || !strings.Contains(err.Error(), "tcx") || w.device() != nil {
			t.Errorf("error %v, device %v", err, w.device())
		}
		t.Log(err)
		if got, err := onDevice(lo); err != nil || len(got) != 0 {
			t.Errorf("on the device: %v, %v", got, err)
		}
		if err := w.WatchDevice(lo); err != nil {
			return err
		}
		if got := w.device().Rung; got != Clsact {
			t.Errorf("rung %s, want clsact", got)
		}
		return w.Close()
	})
}
