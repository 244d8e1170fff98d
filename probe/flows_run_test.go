// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/bpf"
)

// wired makes the frames of PROG_TEST_RUN those of a watch's device, with
// latencies measured. It returns what takes the device away again.
func (b *bench) wired(w *Watch) {
	b.t.Helper()
	flows, err := b.openFlows(w.slot, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.updateMap(bpf.KVMMapDevices, loopback(b.t), &bpf.KVMDevice{Slot: w.slot, Flags: deviceFlows}); err != nil {
		b.t.Fatal(err)
	}
	w.dev = b.testDevice()
	w.dev.flows = flows
}

// newFlowBench is a bench with a wired watch, in slot 1.
func newFlowBench(t testing.TB) (*bench, *Watch) {
	b := newBench(t, 2, SVM)
	b.open(Target{CgroupID: nowhere})
	w := b.open(Target{CgroupID: nowhere + 1, Flows: true})
	b.wired(w)
	return b, w
}

// pass lets frames pass the device: out if the guest has sent them. In tests it
// has the lowest byte 2.
func (b *bench) pass(frames ...[]byte) {
	b.t.Helper()
	for _, f := range frames {
		program := bpf.NetProgTcIn
		if len(f) > 11 && f[11] == guest.mac[5] {
			program = bpf.NetProgTcOut
		}
		if verdict := b.frame(program, f); verdict != -1 {
			b.t.Errorf("verdict %d on %x: must be -1 (next), a watcher decides nothing", verdict, f)
		}
	}
}

// passBroken is pass for frames that PROG_TEST_RUN may refuse: those without a
// whole Ethernet or IP header. It reports whether the frame passed.
func (b *bench) passBroken(f []byte) bool {
	b.t.Helper()
	program := bpf.NetProgTcIn
	if len(f) > 11 && f[11] == guest.mac[5] {
		program = bpf.NetProgTcOut
	}
	verdict, err := b.load(objNet, program).Run(&ebpf.RunOptions{Data: f})
	if err != nil && (len(f) >= 14+40 || !errors.Is(err, unix.EINVAL)) {
		b.t.Fatalf("run %s with %x: %v", program, f, err)
	}
	if err == nil && int32(verdict) != -1 {
		b.t.Errorf("verdict %d on %x: must be -1 (next)", int32(verdict), f)
	}
	return err == nil
}

func networkOf(t testing.TB, w *Watch) Network {
	t.Helper()
	n, err := w.Network()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// summary is a Network with counts for histograms, to be compared.
type summary struct {
	Responses, Unanswered, Repeated, Refused map[Exchange]uint64
	Unparsed                                 map[string]uint64
	Untracked, Lost                          uint64
}

func (n Network) summary() summary {
	s := summary{Responses: map[Exchange]uint64{}, Unanswered: n.Unanswered, Repeated: n.Repeated, Refused: n.Refused,
		Unparsed: n.Unparsed, Untracked: n.Untracked, Lost: n.Lost}
	for e, h := range n.Responses {
		s.Responses[e] = h.Count
	}
	return s
}

// swept is the summary after everything that is open was given up.
func swept(t testing.TB, w *Watch) summary {
	t.Helper()
	if err := w.dev.flows.sweep(now() + int64(idlePatience) + 1); err != nil {
		t.Fatal(err)
	}
	return networkOf(t, w).summary()
}

func byGuest(kind string) Exchange   { return Exchange{Kind: kind, Side: "guest"} }
func byOutside(kind string) Exchange { return Exchange{Kind: kind, Side: "outside"} }

func onceEach(e ...Exchange) map[Exchange]uint64 {
	out := map[Exchange]uint64{}
	for _, x := range e {
		out[x]++
	}
	return out
}

// flowCases are frames and what has to be found in them.
func flowCases() map[string]struct {
	frames [][]byte
	want   summary
} {
	type flowCase = struct {
		frames [][]byte
		want   summary
	}
	seq := slices.Concat[[][]byte]
	f := func(frames ...[]byte) [][]byte { return frames }
	cases := map[string]flowCase{}
	add := func(name string, frames [][]byte, want summary) { cases[name] = flowCase{frames, want} }

	for _, six := range []bool{false, true} {
		v := map[bool]string{false: " v4", true: " v6"}[six]
		in, out := newConn(client, guest), newConn(guest, client)
		in.six, out.six = six, six
		add("tcp in, two exchanges"+v, seq(in.open(), f(in.ask(psh|ack, "GET 1"), in.ask(ack, "more of it"), in.answer(ack, ""), in.answer(ack, "1"), in.answer(ack, "more"),
			in.ask(ack, ""), in.ask(psh|ack, "GET 2"), in.answer(psh|ack|fin, "2"), in.ask(ack|fin, ""), in.answer(ack, ""))),
			summary{Responses: onceEach(byGuest("tcp_connect"), byGuest("tcp_first"), byGuest("tcp_next"))})
		add("tcp out"+v, seq(out.open(), f(out.ask(psh|ack, "x"), out.answer(psh|ack, "y"), out.ask(fin|ack, ""), out.answer(fin|ack, ""))),
			summary{Responses: onceEach(byOutside("tcp_connect"), byOutside("tcp_first"))})
		kind := map[bool]string{false: "icmp_echo", true: "icmpv6_echo"}[six]
		add("echo in"+v, f(echo(six, client, guest, false, 7, 1), echo(six, guest, client, true, 7, 1)), summary{Responses: onceEach(byGuest(kind))})
		add("echo out"+v, f(echo(six, guest, client, false, 7, 1), echo(six, client, guest, true, 7, 1)), summary{Responses: onceEach(byOutside(kind))})
		add("echo of two at once"+v, f(echo(six, client, guest, false, 7, 1), echo(six, client, guest, false, 7, 2), echo(six, client, guest, false, 8, 1),
			echo(six, guest, client, true, 8, 1), echo(six, guest, client, true, 7, 1)),
			summary{Responses: map[Exchange]uint64{byGuest(kind): 2}, Unanswered: onceEach(byGuest(kind))})
		add("echo answered twice"+v, f(echo(six, client, guest, false, 7, 1), echo(six, guest, client, true, 7, 1), echo(six, guest, client, true, 7, 1)),
			summary{Responses: onceEach(byGuest(kind))})
		add("dns out"+v, f(dnsFrame(six, guest, client, 5353, 53, 99, false), dnsFrame(six, guest, client, 5353, 53, 99, false),
			dnsFrame(six, client, guest, 53, 5353, 98, true), dnsFrame(six, client, guest, 53, 5354, 99, true), dnsFrame(six, client, guest, 53, 5353, 99, true)),
			summary{Responses: onceEach(byOutside("dns")), Repeated: onceEach(byOutside("dns"))})
		add("dns in"+v, f(dnsFrame(six, client, guest, 53, 53, 99, false), dnsFrame(six, guest, client, 53, 53, 99, true)), summary{Responses: onceEach(byGuest("dns"))})
	}
	add("arp in", f(arpAsk(client, guest), arpReply(guest, client)), summary{Responses: onceEach(byGuest("arp"))})
	add("arp out", f(arpAsk(guest, client), arpAsk(guest, client), arpReply(client, guest)),
		summary{Responses: onceEach(byOutside("arp")), Repeated: onceEach(byOutside("arp"))})
	add("arp for another station, flooded", f(arpAsk(guest, client), arpReply(client, guest), arpAsk(client, other)), summary{Responses: onceEach(byOutside("arp"))})
	add("arp for the guest, who does not answer", f(arpAsk(guest, client), arpReply(client, guest), arpAsk(client, guest)),
		summary{Responses: onceEach(byOutside("arp")), Unanswered: onceEach(byGuest("arp"))})
	add("arp announcement", f(arpAsk(guest, guest), arpAsk(client, client)), summary{})
	add("ndp in", f(solicit(client, guest), advertise(guest, client)), summary{Responses: onceEach(byGuest("ndp"))})
	add("ndp out", f(solicit(guest, client), advertise(client, guest)), summary{Responses: onceEach(byOutside("ndp"))})
	add("ndp for another station, flooded", f(solicit(client, other)), summary{})
	add("answers without requests", f(arpReply(guest, client), advertise(guest, client), echo(false, guest, client, true, 1, 1),
		dnsFrame(false, guest, client, 53, 1000, 1, true), newConn(client, guest).answer(syn|ack, "")), summary{})
	add("requests to another station's MAC, flooded", f(arpAsk(guest, client), arpReply(client, guest), newConn(client, other).ask(syn, ""),
		echo(false, client, other, false, 1, 1), dnsFrame(false, client, other, 1000, 53, 1, false)), summary{Responses: onceEach(byOutside("arp"))})
	addTCPCases(add, seq, f)
	addUnparsed(add, f)
	return cases
}

func addTCPCases(add func(string, [][]byte, summary), seq func(...[][]byte) [][]byte, f func(...[]byte) [][]byte) {
	connect, first, next := byGuest("tcp_connect"), byGuest("tcp_first"), byGuest("tcp_next")
	c := newConn(client, guest)
	s := c.ask(syn, "")
	add("syn retransmitted", f(s, s, s, c.answer(syn|ack, ""), s), summary{Responses: onceEach(connect), Repeated: map[Exchange]uint64{connect: 3}})
	add("syn unanswered", f(newConn(client, guest).ask(syn, "")), summary{Unanswered: onceEach(connect)})
	c = newConn(client, guest)
	add("refused", f(c.ask(syn, ""), c.answer(rst|ack, "")), summary{Refused: onceEach(connect)})
	c = newConn(client, guest)
	add("answers to another syn", f(c.ask(syn, ""), c.frame(false, 1, 2, syn|ack, ""), c.frame(false, 1, 2, rst|ack, ""), c.answer(syn|ack, "")), summary{Responses: onceEach(connect)})
	c = newConn(client, guest)
	add("given up by the client", f(c.ask(syn, ""), c.ask(rst, "")), summary{Unanswered: onceEach(connect)})

	c = newConn(client, guest)
	open := c.open()
	add("reset before the answer", seq(open, f(c.ask(ack, "x"), c.answer(rst|ack, ""), c.answer(ack, "late"))),
		summary{Responses: onceEach(connect), Unanswered: onceEach(first), Untracked: 1})
	c = newConn(client, guest)
	open = c.open()
	add("idle for too long, nothing open", open, summary{Responses: onceEach(connect)})
	c = newConn(client, guest)
	open = c.open()
	add("never answered", seq(open, f(c.ask(ack, "x"))), summary{Responses: onceEach(connect), Unanswered: onceEach(first)})
	c = newConn(client, guest)
	open = c.open()
	add("ended without an answer", seq(open, f(c.ask(ack, "x"), c.answer(fin|ack, ""))), summary{Responses: onceEach(connect), Unanswered: onceEach(first)})

	c = newConn(client, guest)
	open = c.open()
	ask, answer := c.ask(ack, "GET"), c.answer(ack, "answer")
	add("request and answer retransmitted", seq(open, f(ask, ask, answer, answer, ask, answer, c.ask(ack, "2"), answer, c.answer(ack, "2"))),
		summary{Responses: onceEach(connect, first, next)})

	c = newConn(client, guest)
	open = c.open()
	a, b := c.ask(ack, "first half "), c.ask(ack, "second half")
	add("request out of order", seq(open, f(b, a, c.answer(ack, "y"))), summary{Responses: onceEach(connect, first)})

	c = newConn(client, guest)
	open = c.open()
	ask = c.ask(ack, "x")
	early := c.frame(false, c.servSeq, c.openerSeq-1, ack, "banner")
	c.servSeq += 6
	add("data that crosses the request is no answer", seq(open, f(ask, early, c.answer(ack, "y"))), summary{Responses: onceEach(connect, first)})

	c = newConn(client, guest)
	open = c.open()
	add("the server speaks first", seq(open, f(c.answer(ack, "220 ready"), c.answer(ack, "more"), c.ask(ack, "EHLO"), c.answer(ack, "250"))), summary{Responses: onceEach(connect, first)})

	c = newConn(client, guest)
	open = c.open()
	ask = c.ask(ack, "x")
	keepalive := c.frame(true, c.openerSeq-1, c.servSeq, ack, "k")
	add("keep-alive probes", seq(open, f(ask, c.answer(ack, "y"), keepalive, c.answer(ack, ""), keepalive, c.answer(ack, ""))), summary{Responses: onceEach(connect, first)})

	c = newConn(client, guest)
	open = c.open()
	ask = c.ask(ack, "x")
	answer = c.answer(ack, "late")
	end := c.answer(fin|ack, "")
	add("the end overtakes the answer", seq(open, f(ask, end, answer)), summary{Responses: onceEach(connect, first)})

	c = newConn(client, guest)
	open = c.open()
	add("the client's side ends with the request", seq(open, f(c.ask(ack|fin, "x"), c.answer(ack, "y"), c.answer(fin|ack, ""))), summary{Responses: onceEach(connect, first)})

	c = newConn(client, guest)
	d := newConn(client, guest)
	d.openerSeq = 5
	add("ports used again without an end", seq(c.open(), f(c.ask(ack, "x")), d.open(), f(d.ask(ack, "x"), d.answer(ack, "y"))),
		summary{Responses: map[Exchange]uint64{connect: 2, first: 1}, Unanswered: onceEach(first)})

	c = newConn(client, guest)
	add("fast open", f(c.ask(syn, "GET"), c.answer(syn|ack, ""), c.answer(ack, "y")), summary{Responses: onceEach(connect, first)})
	c = newConn(client, guest)
	_ = c.open()
	add("begun before the watch", f(c.ask(ack, "x"), c.answer(ack, "y"), c.ask(ack, "")), summary{Untracked: 2})
	add("flags that cannot be", f(newConn(client, guest).ask(syn|fin, ""), newConn(client, guest).ask(syn|rst, ""), newConn(client, guest).ask(0, "")), summary{})
}

func addUnparsed(add func(string, [][]byte, summary), f func(...[]byte) [][]byte) {
	unparsed := func(reason string, n uint64) summary { return summary{Unparsed: map[string]uint64{reason: n}} }
	fragment := newConn(client, guest).ask(syn, "")
	fragment[20], fragment[21] = 0x20, 1
	add("later fragment", f(fragment), unparsed("fragment", 1))
	extension := newConn(client, guest)
	extension.six = true
	e := extension.ask(syn, "")
	e[14+6] = 60
	add("ipv6 extension header", f(e), unparsed("ipv6_extension", 1))
	add("vlan", f(segment{flags: syn, vlan: true}.bytes()), unparsed("vlan", 1))
	long, badIHL, version, offset := newConn(client, guest).ask(syn, ""), newConn(client, guest).ask(syn, ""), newConn(client, guest).ask(syn, ""), newConn(client, guest).ask(syn, "")
	binary.BigEndian.PutUint16(long[16:], 1500)
	badIHL[14] = 0x44
	version[14] = 0x65
	offset[14+20+12] = 0xf0
	add("malformed", f(long, badIHL, version, offset), unparsed("malformed", 4))
}

func TestFlows(t *testing.T) {
	b, shared := newFlowBench(t)
	if err := shared.Close(); err != nil {
		t.Fatal(err)
	}
	for name, tt := range flowCases() {
		t.Run(name, func(t *testing.T) {
			b := b.on(t)
			w := b.open(Target{CgroupID: nowhere + 1, Flows: true})
			b.wired(w)
			b.pass(tt.frames...)
			if diff := cmp.Diff(tt.want, swept(t, w), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if left := entries(t, w); left != 0 {
				t.Errorf("%d entries are left after everything was given up", left)
			}
		})
	}
}

// entries is how many a guest's table holds.
func entries(t testing.TB, w *Watch) int {
	t.Helper()
	var key bpf.NetFlowKey
	var flow bpf.NetFlow
	n := 0
	it := w.dev.flows.m.Iterate()
	for it.Next(&key, &flow) {
		n++
	}
	if err := it.Err(); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestFlowsMeasureFromTheFirstRequest: the time is that between the frames, from
// the first of a repeated request, and in no other exchange's histogram.
func TestFlowsMeasureFromTheFirstRequest(t *testing.T) {
	b, w := newFlowBench(t)
	const step = 3 * time.Millisecond
	c := newConn(client, guest)
	s := c.ask(syn, "")
	for i, tt := range []struct {
		kind               string
		ask, again, answer []byte
	}{
		{"tcp_connect", s, s, c.answer(syn|ack, "")},
		{"tcp_first", c.ask(ack, "a"), c.ask(ack, "b"), c.answer(ack, "c")},
		{"tcp_next", c.ask(ack, "a"), c.ask(ack, "b"), c.answer(ack, "c")},
		{"arp", arpAsk(client, guest), arpAsk(client, guest), arpReply(guest, client)},
		{"ndp", solicit(client, guest), solicit(client, guest), advertise(guest, client)},
		{"icmp_echo", echo(false, client, guest, false, 1, 1), echo(false, client, guest, false, 1, 1), echo(false, guest, client, true, 1, 1)},
		{"icmpv6_echo", echo(true, client, guest, false, 1, 1), echo(true, client, guest, false, 1, 1), echo(true, guest, client, true, 1, 1)},
		{"dns", dnsFrame(false, client, guest, 9, 53, 1, false), dnsFrame(false, client, guest, 9, 53, 1, false), dnsFrame(false, guest, client, 53, 9, 1, true)},
	} {
		begin := time.Now()
		b.pass(tt.ask)
		time.Sleep(time.Duration(i+1) * step)
		b.pass(tt.again)
		time.Sleep(step)
		b.pass(tt.answer)
		took := time.Since(begin)
		h := networkOf(t, w).Responses[byGuest(tt.kind)]
		if low := time.Duration(i+2) * step; h.Count != 1 || time.Duration(h.SumNS) < low || time.Duration(h.SumNS) > took {
			t.Errorf("%s: %d observations, %v, want one between %v and %v", tt.kind, h.Count, time.Duration(h.SumNS), low, took)
		}
	}
}

// TestFlowsFloodStaysInItsTable: one guest overflows its table with each kind of
// request, another's numbers stay exact, and room comes back.
func TestFlowsFloodStaysInItsTable(t *testing.T) {
	b := newBench(t, 2, SVM)
	victim, flooder := b.open(Target{CgroupID: nowhere, Flows: true}), b.open(Target{CgroupID: nowhere + 1, Flows: true})
	b.wired(victim)
	use := func(w *Watch) {
		if err := b.updateMap(bpf.KVMMapDevices, loopback(b.t), &bpf.KVMDevice{Slot: w.slot, Flags: deviceFlows}); err != nil {
			t.Fatal(err)
		}
	}
	b.pass(dnsFrame(false, guest, client, 1, 53, 1, false))
	c := newConn(client, guest)
	b.pass(c.open()...)
	b.pass(c.ask(ack, "x"))

	b.wired(flooder)
	const flood = 3000 // the table holds 2,048
	for i := range flood {
		b.pass(dnsFrame(false, guest, client, uint16(i), 53, uint16(i), false))
	}
	got := networkOf(t, flooder).summary()
	if held := entries(t, flooder); held+int(got.Lost) != flood || held != 2048 {
		t.Errorf("%d requests: %d in the table, %d lost", flood, held, got.Lost)
	}
	if lost := countsOf(t, flooder).Lost["flows"]; lost != got.Lost {
		t.Errorf("lost flows in the counts: %d, want %d", lost, got.Lost)
	}
	// The table's own requests are answered still.
	b.pass(dnsFrame(false, client, guest, 53, 7, 7, true))
	if n := networkOf(t, flooder).summary().Responses[byOutside("dns")]; n != 1 {
		t.Errorf("%d answers in a full table, want 1", n)
	}

	use(victim)
	b.pass(c.answer(ack, "y"), dnsFrame(false, client, guest, 53, 1, 1, true))
	want := summary{Responses: onceEach(byGuest("tcp_connect"), byGuest("tcp_first"), byOutside("dns"))}
	if diff := cmp.Diff(want, networkOf(t, victim).summary(), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("the other guest (-want +got):\n%s", diff)
	}

	if after := swept(t, flooder); after.Unanswered[byOutside("dns")] != 2047 || entries(t, flooder) != 0 {
		t.Errorf("swept: %+v, %d entries left", after, entries(t, flooder))
	}
	use(flooder)
	b.pass(dnsFrame(false, guest, client, 1, 53, 1, false), dnsFrame(false, client, guest, 53, 1, 1, true))
	if n := networkOf(t, flooder).summary(); n.Responses[byOutside("dns")] != 2 || n.Lost != got.Lost {
		t.Errorf("after the sweep: %+v", n)
	}
}

// TestFlowsAreGivenUpInTime: no sooner than after the patience that each kind has,
// and a repeated request is waited for anew.
func TestFlowsAreGivenUpInTime(t *testing.T) {
	ask := echo(false, client, guest, false, 1, 1)
	s := newConn(client, guest)
	for _, tt := range []struct {
		name     string
		frames   [][]byte
		patience time.Duration
		want     map[Exchange]uint64
	}{
		{"echo", [][]byte{ask}, 10 * time.Second, onceEach(byGuest("icmp_echo"))},
		{"syn", [][]byte{s.ask(syn, "")}, 40 * time.Second, onceEach(byGuest("tcp_connect"))},
		{"idle connection", newConn(client, guest).open(), 5 * time.Minute, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, w := newFlowBench(t)
			b.pass(tt.frames...)
			time.Sleep(20 * time.Millisecond)
			again := now()
			b.pass(tt.frames[len(tt.frames)-1])
			held := entries(t, w)
			if err := w.dev.flows.sweep(again + int64(tt.patience)); err != nil {
				t.Fatal(err)
			}
			if n := entries(t, w); n != held || held != 1 {
				t.Errorf("%d of %d entries are left before the time", n, held)
			}
			if err := w.dev.flows.sweep(now() + int64(tt.patience) + 1); err != nil {
				t.Fatal(err)
			}
			got := networkOf(t, w).Unanswered
			if diff := cmp.Diff(tt.want, got, cmpopts.EquateEmpty()); diff != "" || entries(t, w) != 0 {
				t.Errorf("%d entries are left; unanswered (-want +got):\n%s", entries(t, w), diff)
			}
		})
	}
}

// TestFlowsGoWithTheirWatch: the next tenant of the slot has none of them, and the
// last one keeps what was read at its end.
func TestFlowsGoWithTheirWatch(t *testing.T) {
	b, w := newFlowBench(t)
	b.pass(echo(false, client, guest, false, 1, 1), echo(false, guest, client, true, 1, 1), echo(false, client, guest, false, 1, 2))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if n := networkOf(t, w).summary().Responses; n[byGuest("icmp_echo")] != 1 {
		t.Errorf("after the end: %v", n)
	}
	var id ebpfID
	if err := b.loader.maps[bpf.NetMapFlows].Lookup(w.slot, &id); err == nil {
		t.Errorf("the slot still has a table: map %d", id)
	}
	next := b.open(Target{CgroupID: nowhere + 2, Flows: true})
	if next.slot != w.slot {
		t.Fatalf("the next watch has slot %d, not %d", next.slot, w.slot)
	}
	b.wired(next)
	b.pass(echo(false, guest, client, true, 1, 2))
	if diff := cmp.Diff(summary{}, swept(t, next), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("the next tenant (-want +got):\n%s", diff)
	}
}

// ebpfID is what a lookup in an array of maps gives.
type ebpfID uint32

// TestFlowsNeedTheirFlag: without it nothing is looked at, and Network says why.
func TestFlowsNeedTheirFlag(t *testing.T) {
	b := newBench(t, 1, SVM)
	w := b.open(Target{CgroupID: nowhere})
	if _, err := w.Network(); err == nil || !strings.Contains(err.Error(), "no network device") {
		t.Errorf("without a device: %v", err)
	}
	b.device(w, 80)
	b.pass(echo(false, client, guest, false, 1, 1))
	if _, err := w.Network(); err == nil || !strings.Contains(err.Error(), "Target.Flows") {
		t.Errorf("without Target.Flows: %v", err)
	}
	if n := countsOf(t, w); n.Network.Responses != nil || n.Values["frames_in"] != 1 {
		t.Errorf("counts: %+v", n)
	}
}

// TestCutFramesAreHarmless: every frame of every case, cut at every length and with
// every byte changed, has the verdict "next"; and a cut one is never taken for a
// whole one.
func TestCutFramesAreHarmless(t *testing.T) {
	b, w := newFlowBench(t)
	seen := map[string]bool{}
	for _, tt := range flowCases() {
		for _, f := range tt.frames {
			if seen[string(f)] {
				continue
			}
			seen[string(f)] = true
			for n := range len(f) {
				b.passBroken(f[:n])
			}
			if len(f) > 90 {
				continue
			}
			for i := 12; i < len(f); i++ {
				g := slices.Clone(f)
				g[i] ^= byte(0xff)
				b.passBroken(g)
			}
		}
	}
	if n := networkOf(t, w); n.Unparsed["malformed"] == 0 {
		t.Errorf("none was malformed: %+v", n.summary())
	}
}

// FuzzFrames: whatever passes, the verdict is "next" and the counts stay sane.
func FuzzFrames(f *testing.F) {
	b, w := newFlowBench(f)
	for _, tt := range flowCases() {
		f.Add(slices.Concat(tt.frames...), uint16(len(tt.frames[0])))
	}
	var passed uint64
	f.Fuzz(func(t *testing.T, data []byte, cut uint16) {
		b := b.on(t)
		for len(data) > 0 {
			n := min(len(data), max(14, int(cut)))
			if b.passBroken(data[:n]) {
				passed++
			}
			data = data[n:]
		}
		s := networkOf(t, w).summary()
		for _, counts := range []map[Exchange]uint64{s.Responses, s.Refused, s.Repeated} {
			for e, k := range counts {
				if k > passed {
					t.Errorf("%d of %+v in %d frames", k, e, passed)
				}
			}
		}
	})
}
