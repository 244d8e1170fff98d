// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"encoding/binary"
	"runtime"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/bpf"
)

// skbContext is the context of PROG_TEST_RUN for a tc program: struct __sk_buff of
// include/uapi/linux/bpf.h, in words, of which the kernel takes these two.
func skbContext(segs, size uint32) []uint32 {
	ctx := make([]uint32, 192/4)
	ctx[164/4], ctx[176/4] = segs, size
	return ctx
}

// TestSegmentsOfALargeFrame: one frame on the device counts as those it will be.
func TestSegmentsOfALargeFrame(t *testing.T) {
	const mss = 100
	large := func(n int) []byte {
		return segment{src: 80, dst: 999, flags: ack, tcpOptions: 12, payload: string(make([]byte, n))}.bytes()
	}
	datagram := segment{protocol: 17, payload: string(make([]byte, 10*mss-12))}.bytes() // behind 8 bytes, not 20
	vlan := segment{src: 80, dst: 999, flags: ack, vlan: true, payload: string(make([]byte, 10*mss-4))}.bytes()
	shared := newBench(t, 1, SVM)
	for _, tt := range []struct {
		name       string
		frame      []byte
		segs, size uint32
		want       uint64
	}{
		{"no large one", large(10 * mss), 0, 0, 1},
		{"the host's own", large(10 * mss), 10, mss, 10},
		{"the guest's, ten full ones", large(10 * mss), 0, mss, 10},
		{"the guest's, one byte more", large(10*mss + 1), 0, mss, 11},
		{"the guest's, one byte less", large(10*mss - 1), 0, mss, 10},
		{"the guest's, one segment", large(mss), 0, mss, 1},
		{"the guest's, less than one", large(1), 0, mss, 1},
		{"the guest's, no data", large(0), 0, mss, 1},
		{"the guest's datagrams", datagram, 0, mss, 10},
		{"the guest's, not parsed", vlan, 0, mss, 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, flows := range []bool{false, true} {
				b := shared.on(t)
				w := b.open(Target{CgroupID: nowhere, Flows: flows})
				if flows {
					b.wired(w)
				} else {
					b.device(w, 0)
				}
				for _, program := range []string{bpf.NetProgTcOut, bpf.NetProgTcIn} {
					_, err := b.load(objNet, program).Run(&ebpf.RunOptions{Data: tt.frame, Context: skbContext(tt.segs, tt.size)})
					if err != nil {
						t.Fatal(err)
					}
				}
				n := uint64(len(tt.frame))
				want := map[string]uint64{"frames_out": tt.want, "frames_in": tt.want, "bytes_out": n, "bytes_in": n}
				if diff := cmp.Diff(want, countsOf(t, w).Values); diff != "" {
					t.Errorf("latencies measured: %v (-want +got):\n%s", flows, diff)
				}
				if err := w.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestSegmentsFromATap: a guest's large frame, as virtio-net hands it over.
func TestSegmentsFromATap(t *testing.T) {
	const segments, size = 10, 1448
	ns := newNetNS(t)
	p := openProbe(t, Options{})
	w, err := p.Watch(Target{CgroupID: nowhere})
	if err != nil {
		t.Fatal(err)
	}
	ns.do(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		ifr, err := unix.NewIfreq("tap0")
		if err != nil {
			return err
		}
		ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
			return err
		}
		runtime.KeepAlive(ifr)
		l, err := netlink.LinkByName("tap0")
		if err != nil {
			return err
		}
		if err := netlink.LinkSetUp(l); err != nil {
			return err
		}
		if err := w.WatchDevice(l.Attrs().Index); err != nil {
			return err
		}
		frame := segment{src: 80, dst: 4000, flags: ack, payload: string(make([]byte, segments*size))}.bytes()
		header := make([]byte, 10)                                    // struct virtio_net_hdr of include/uapi/linux/virtio_net.h
		header[0], header[1] = 1, 1                                   // VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_TCPV4
		for i, v := range []uint16{14 + 20 + 20, size, 14 + 20, 16} { // of headers, of a segment, the checksum's place
			binary.LittleEndian.PutUint16(header[2+2*i:], v)
		}
		if _, err := unix.Write(fd, append(header, frame...)); err != nil {
			return err
		}
		c := countsOf(t, w).Values
		if c["frames_out"] != segments || c["bytes_out"] != uint64(len(frame)) {
			t.Errorf("%v, want %d frames and %d bytes out", c, segments, len(frame))
		}
		return w.Close()
	})
}
