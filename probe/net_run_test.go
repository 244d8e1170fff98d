// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/bpf"
)

// TCP flags.
const (
	fin, syn, rst, psh, ack = 1, 2, 4, 8, 16
)

// segment describes a frame with a TCP segment over IPv4. The zero value is a
// bare one from port 0 to port 0.
type segment struct {
	src, dst   uint16
	flags      byte
	ipOptions  int // bytes, a multiple of four
	tcpOptions int
	payload    string
	padTo      int // bytes of the frame: Ethernet's minimum is 60
	fragment   uint16
	protocol   byte // 0: TCP
	noLength   bool // IP total length 0, as with large TSO
	vlan       bool // with a tag in the frame
}

func (s segment) bytes() []byte {
	eth := []byte{0x52, 0x54, 0, 1, 2, 3, 0xfe, 0x54, 0, 1, 2, 3}
	if s.vlan {
		eth = append(eth, 0x81, 0, 0, 5)
	}
	eth = append(eth, 8, 0)
	ip := make([]byte, 20+s.ipOptions)
	tcp := make([]byte, 20+s.tcpOptions)
	ip[0] = 0x40 | byte(len(ip)/4)
	if !s.noLength {
		binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)+len(tcp)+len(s.payload)))
	}
	binary.BigEndian.PutUint16(ip[6:], s.fragment)
	ip[8], ip[9] = 64, 6
	if s.protocol != 0 {
		ip[9] = s.protocol
	}
	copy(ip[12:], []byte{198, 18, 0, 1, 198, 18, 0, 2})
	for i := 20; i < len(ip); i++ {
		ip[i] = 1 // no-operation
	}
	binary.BigEndian.PutUint16(tcp, s.src)
	binary.BigEndian.PutUint16(tcp[2:], s.dst)
	tcp[12], tcp[13] = byte(len(tcp)/4)<<4, s.flags
	frame := append(append(append(eth, ip...), tcp...), s.payload...)
	for len(frame) < s.padTo {
		frame = append(frame, 0)
	}
	return frame
}

// etherType gives a frame of 60 bytes of another protocol.
func etherType(t uint16) []byte {
	f := segment{src: 80, dst: 80, flags: syn | ack}.bytes()
	f = append(f, make([]byte, 60-len(f))...)
	binary.BigEndian.PutUint16(f[12:], t)
	return f
}

// wire are the events that frames can make.
var wire = []string{EventFrameIn, EventFrameOut, EventSYN, EventSYNACK, EventFirstRequest, EventFirstResponse}

// seen lists those that a watch has.
func seen(w *Watch) []string {
	out := []string{}
	t := w.Timeline()
	for _, name := range wire {
		if _, ok := t.At(name); ok {
			out = append(out, name)
		}
	}
	return out
}

// loopback is the device of a PROG_TEST_RUN without a context: the thread's lo.
func loopback(t testing.TB) *bpf.KVMDeviceKey {
	t.Helper()
	ns, inum, err := threadNetNS()
	if err != nil {
		t.Fatal(err)
	}
	_ = ns.Close()
	return &bpf.KVMDeviceKey{Netns: inum, Ifindex: 1}
}

// testDevice is that device, to which nothing is attached.
func (b *bench) testDevice() *Device {
	b.t.Helper()
	ns, inum, err := threadNetNS()
	if err != nil {
		b.t.Fatal(err)
	}
	return &Device{key: bpf.KVMDeviceKey{Netns: inum, Ifindex: 1}, ns: ns, p: b.Probe, Rung: TCX}
}

// device makes the frames of PROG_TEST_RUN those of a watch's device.
func (b *bench) device(w *Watch, port uint16) {
	b.t.Helper()
	d := bpf.KVMDevice{Slot: w.slot, ServicePort: port}
	if err := b.updateMap(bpf.KVMMapDevices, loopback(b.t), &d); err != nil {
		b.t.Fatal(err)
	}
	w.dev = b.testDevice()
}

// TestFramesBeforeTheExec: what passes a device before its guest's exec is nobody's, if that
// is wanted; all that comes after is the guest's.
func TestFramesBeforeTheExec(t *testing.T) {
	b := newBench(t, 2, SVM)
	w := b.open(Target{CgroupID: nowhere, ServicePort: 80})
	b.device(w, 80)
	d := bpf.KVMDevice{Slot: w.slot, ServicePort: 80, Flags: deviceFromExec | deviceFlows}
	if err := b.updateMap(bpf.KVMMapDevices, loopback(t), &d); err != nil {
		t.Fatal(err)
	}
	asks := segment{src: 999, dst: 80, flags: syn}.bytes()
	refuses := segment{src: 80, dst: 999, flags: rst | ack}.bytes()
	both := func() {
		b.frame("tc_in", asks)
		b.frame("tc_out", refuses)
	}
	both()
	if diff := cmp.Diff([]string{}, seen(w)); diff != "" {
		t.Errorf("events before the exec (-want +got):\n%s", diff)
	}
	s, err := w.state()
	if err != nil {
		t.Fatal(err)
	}
	s.Marks[bpf.KVMMarkKindMARK_VMM_EXEC].Ns = uint64(now())
	if err := b.updateMap(bpf.KVMMapSlots, w.slot, &s); err != nil {
		t.Fatal(err)
	}
	both()
	if diff := cmp.Diff([]string{EventFrameIn, EventFrameOut, EventSYN}, seen(w)); diff != "" {
		t.Errorf("events after it (-want +got):\n%s", diff)
	}
	c := countsOf(t, w).Values
	if diff := cmp.Diff([]uint64{1, 1}, []uint64{c["frames_in"], c["frames_out"]}); diff != "" {
		t.Errorf("frames in, out (-want +got):\n%s", diff)
	}
	if err := b.loader.maps[bpf.KVMMapDevices].Lookup(loopback(t), &d); err != nil || d.Flags != deviceFlows {
		t.Errorf("flags %#x, %v: it need not be asked again", d.Flags, err)
	}
}

func TestFramesMarkTheTimeline(t *testing.T) {
	const out, in = "tc_out", "tc_in"
	tests := []struct {
		name  string
		dir   string
		frame []byte
		want  []string
	}{
		{"syn", in, segment{src: 999, dst: 80, flags: syn}.bytes(), []string{EventFrameIn, EventSYN}},
		{"syn to another port", in, segment{src: 80, dst: 81, flags: syn}.bytes(), []string{EventFrameIn}},
		{"request", in, segment{src: 999, dst: 80, flags: psh | ack, payload: "GET"}.bytes(), []string{EventFrameIn, EventFirstRequest}},
		{"bare ack", in, segment{src: 999, dst: 80, flags: ack}.bytes(), []string{EventFrameIn}},
		{"syn-ack", out, segment{src: 80, dst: 999, flags: syn | ack, tcpOptions: 20}.bytes(), []string{EventFrameOut, EventSYNACK}},
		{"syn-ack from another port", out, segment{src: 81, dst: 80, flags: syn | ack}.bytes(), []string{EventFrameOut}},
		{"only syn", out, segment{src: 80, dst: 999, flags: syn}.bytes(), []string{EventFrameOut}},
		{"refused", out, segment{src: 80, dst: 999, flags: rst | ack}.bytes(), []string{EventFrameOut}},
		{"data", out, segment{src: 80, dst: 999, flags: ack, payload: "x"}.bytes(), []string{EventFrameOut, EventFirstResponse}},
		{"data with the end", out, segment{src: 80, dst: 999, flags: fin | ack, payload: "x"}.bytes(), []string{EventFrameOut, EventFirstResponse}},
		{"end without data", out, segment{src: 80, dst: 999, flags: fin | ack}.bytes(), []string{EventFrameOut}},
		{"padding is no data", out, segment{src: 80, dst: 999, flags: ack, padTo: 60}.bytes(), []string{EventFrameOut}},
		{"ip options", out, segment{src: 80, dst: 999, flags: ack, ipOptions: 40, tcpOptions: 40, payload: "x"}.bytes(), []string{EventFrameOut, EventFirstResponse}},
		{"ip options without data", out, segment{src: 80, dst: 999, flags: syn | ack, ipOptions: 40, tcpOptions: 40}.bytes(), []string{EventFrameOut, EventSYNACK}},
		{"length left to the hardware", out, segment{src: 80, dst: 999, flags: ack, noLength: true, payload: "x"}.bytes(), []string{EventFrameOut, EventFirstResponse}},
		{"length left, no data", out, segment{src: 80, dst: 999, flags: ack, noLength: true}.bytes(), []string{EventFrameOut}},
		{"first fragment", out, segment{src: 80, dst: 999, flags: ack, fragment: 0x2000, payload: "x"}.bytes(), []string{EventFrameOut, EventFirstResponse}},
		{"later fragment", out, segment{src: 80, dst: 999, flags: syn | ack, fragment: 0x2001, payload: "x"}.bytes(), []string{EventFrameOut}},
		{"do not fragment", out, segment{src: 80, dst: 999, flags: syn | ack, fragment: 0x4000}.bytes(), []string{EventFrameOut, EventSYNACK}},
		{"udp", out, segment{src: 80, dst: 999, flags: syn | ack, protocol: 17}.bytes(), []string{EventFrameOut}},
		{"vlan tag in the frame", out, segment{src: 80, dst: 999, flags: syn | ack, vlan: true}.bytes(), []string{EventFrameOut}},
		{"arp", out, etherType(0x0806), []string{EventFrameOut}},
		{"ipv6", out, etherType(0x86dd), []string{EventFrameOut}},
		{"tcp header cut off", out, segment{src: 80, dst: 999, flags: syn | ack}.bytes()[:14+20+19], []string{EventFrameOut}},
		{"ip header longer than the frame", out, longIHL(), []string{EventFrameOut}},
		{"ip header shorter than itself", out, shortIHL(), []string{EventFrameOut}},
	}
	shared := newBench(t, 2, SVM)
	shared.open(Target{CgroupID: nowhere}) // takes slot 0, so that the device's is not the zero value
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := shared.on(t)
			w := b.open(Target{CgroupID: nowhere + 1, ServicePort: 80})
			b.device(w, 80)
			if verdict := b.frame(tt.dir, tt.frame); verdict != -1 {
				t.Errorf("verdict %d: must be -1 (next), a watcher decides nothing", verdict)
			}
			if diff := cmp.Diff(tt.want, seen(w)); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
			c := countsOf(t, w).Values
			got := []uint64{c["frames_in"], c["bytes_in"], c["frames_out"], c["bytes_out"]}
			want := []uint64{0, 0, 1, uint64(len(tt.frame))}
			if tt.dir == in {
				want = []uint64{1, uint64(len(tt.frame)), 0, 0}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("frames and bytes in, out (-want +got):\n%s", diff)
			}
		})
	}
}

func longIHL() []byte {
	f := segment{src: 80, dst: 999, flags: syn | ack}.bytes()
	f[14] = 0x4f
	return f
}

func shortIHL() []byte {
	f := segment{src: 80, dst: 999, flags: syn | ack}.bytes()
	f[14] = 0x42
	return f
}

// TestFramesFirstTimesStay: a whole exchange, each event at its first time and
// in order, frames and bytes added up.
func TestFramesFirstTimesStay(t *testing.T) {
	b := newBench(t, 1, SVM)
	w := b.open(Target{CgroupID: nowhere, ServicePort: 80})
	b.device(w, 80)
	bytesIn, bytesOut := 0, 0
	for range 2 {
		for _, s := range []segment{{dst: 80, flags: syn}, {dst: 80, flags: syn}, {dst: 80, flags: ack, payload: "GET /"}} {
			f := s.bytes()
			bytesIn += len(f)
			b.frame("tc_in", f)
			s.src, s.dst, s.flags = s.dst, 999, s.flags|ack
			f = s.bytes()
			bytesOut += len(f)
			b.frame("tc_out", f)
		}
		if t.Failed() {
			return
		}
	}
	tl := w.Timeline()
	var names []string
	for _, e := range tl.Events {
		names = append(names, e.Name)
		if e.Rung != TCX {
			t.Errorf("%s is of rung %q, want the device's", e.Name, e.Rung)
		}
	}
	want := []string{EventFrameIn, EventSYN, EventFrameOut, EventSYNACK, EventFirstRequest, EventFirstResponse}
	// The first two of each direction are of one frame and one time: the order
	// of marks decides.
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if wrong := tl.Check(); len(wrong) != 0 {
		t.Errorf("check: %v", wrong)
	}
	wantCounts := map[string]uint64{"frames_in": 6, "frames_out": 6, "bytes_in": uint64(bytesIn), "bytes_out": uint64(bytesOut)}
	if diff := cmp.Diff(wantCounts, countsOf(t, w).Values); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
}

// TestFramesOfOtherDevices are a sign of life only, and no service port means no
// look into the frame.
func TestFramesOfOtherDevices(t *testing.T) {
	b := newBench(t, 1, SVM)
	w := b.open(Target{CgroupID: nowhere})
	frame := segment{src: 80, dst: 999, flags: syn | ack, payload: "x"}.bytes()
	b.frame("tc_out", frame)
	if got := seen(w); len(got) != 0 || b.hits(bpf.KVMHookHOOK_TC_OUT) != 1 {
		t.Errorf("a frame of an unknown device: events %v, %d hits", got, b.hits(bpf.KVMHookHOOK_TC_OUT))
	}
	b.device(w, 0)
	b.frame("tc_out", frame)
	if diff := cmp.Diff([]string{EventFrameOut}, seen(w)); diff != "" {
		t.Errorf("events without a service port (-want +got):\n%s", diff)
	}
}
