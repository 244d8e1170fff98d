// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/bpf"
)

// Exchange is a kind of request on the guest's network device and the side that
// answers it. docs/network.md says from which frame to which each is measured.
type Exchange struct {
	// Kind is tcp_connect, tcp_first, tcp_next, arp, icmp_echo, icmpv6_echo,
	// ndp or dns.
	Kind string
	// Side is who answers: guest, where the request came in; outside, where the
	// guest asked.
	Side string
}

// Network is what was seen of requests and answers on a guest's network device.
// A key that is absent stands for none.
type Network struct {
	// Responses holds the time from a request to its answer, both seen at the
	// host's end of the device. A request that was repeated counts from the
	// first; how the answer was delivered is not in it.
	Responses map[Exchange]Histogram
	// Unanswered counts requests that got no answer: given up after the times
	// in docs/network.md, or their connection ended. Open ones are not in it.
	Unanswered map[Exchange]uint64
	// Repeated counts requests that were sent again: retransmitted SYNs, ARP
	// and DNS retries.
	Repeated map[Exchange]uint64
	// Refused counts SYNs that were answered by RST; those are in no histogram.
	Refused map[Exchange]uint64
	// Unparsed counts frames that were not looked into, by reason: malformed,
	// fragment, ipv6_extension, vlan.
	Unparsed map[string]uint64
	// Untracked counts TCP segments with data of connections that began before
	// the watch or were lost.
	Untracked uint64
	// Lost counts requests and connections for which the guest's table (2,048
	// open ones) had no room: no latency of theirs was measured.
	Lost uint64
}

// flowKinds and flowSides name enum flow_kind and flow_side of bpf/flow.h,
// flowUnparsed enum flow_unparsed.
var (
	flowKinds    = [bpf.NetFlowKindFLOW_KINDS]string{"tcp_connect", "tcp_first", "tcp_next", "arp", "icmp_echo", "icmpv6_echo", "ndp", "dns"}
	flowSides    = [bpf.NetFlowSideFLOW_SIDES]string{"guest", "outside"}
	flowUnparsed = [bpf.NetFlowUnparsedUNPARSED_REASONS]string{"malformed", "fragment", "ipv6_extension", "vlan"}
)

// flowRows is FLOW_ROWS of bpf/flow.h: kind * sides + side.
const flowRows = uint32(bpf.NetFlowKindFLOW_KINDS) * uint32(bpf.NetFlowSideFLOW_SIDES)

func exchangeOf(row uint32) Exchange {
	return Exchange{Kind: flowKinds[row/uint32(len(flowSides))], Side: flowSides[row%uint32(len(flowSides))]}
}

// deviceFlows and deviceFromExec are DEVICE_FLOWS and DEVICE_FROM_EXEC of bpf/event.h.
const (
	deviceFlows    = 1
	deviceFromExec = 2
)

// How long an answer is waited for, since the request or its last repetition.
const (
	// answerPatience: resolvers repeat after 5 s, ping gives up after 10 s (its
	// -W), Linux repeats ARP and neighbour solicitations every second.
	answerPatience = 10 * time.Second
	// connectPatience: Linux repeats a SYN after 1, 2, 4 … 32 s.
	connectPatience = 40 * time.Second
	// idlePatience ends the tracking of a connection on which nothing moves, so
	// that hosts which vanish without FIN do not fill the table.
	idlePatience = 5 * time.Minute
	// sweepEvery is how often the table is looked through for these.
	sweepEvery = 2 * time.Second
)

// flowTable is one guest's open requests and connections. The kernel's programs
// fill it; here it is swept.
type flowTable struct {
	p    *Probe
	slot uint32
	m    *ebpf.Map
	stop func()
	done chan struct{}

	mu         sync.Mutex
	unanswered [flowRows]uint64
	err        error    // of the last sweep
	last       *Network // what it was when the table was closed: the slot is another's since
}

// openFlows gives a slot an empty table, of so many entries or, if that is 0, as many as
// are usual, and empty counts, and starts to sweep.
func (p *Probe) openFlows(slot uint32, entries int) (*flowTable, error) {
	if err := p.clearFlows(slot); err != nil {
		return nil, err
	}
	spec := p.loader.specs[objNet].Maps[bpf.NetMapFlows].InnerMap.Copy()
	if entries > 0 {
		spec.MaxEntries = uint32(entries)
	}
	m, err := ebpf.NewMap(spec)
	if err != nil {
		return nil, fmt.Errorf("create a guest's table of network flows: %w%s", err, privilegeHint(err))
	}
	if err := p.updateMap(bpf.NetMapFlows, slot, m); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	t := &flowTable{p: p, slot: slot, m: m, done: make(chan struct{})}
	stop := make(chan struct{})
	t.stop = sync.OnceFunc(func() { close(stop) })
	go t.run(stop)
	return t, nil
}

// clearFlows empties what the slot's last tenant left.
func (p *Probe) clearFlows(slot uint32) error {
	errs := []error{
		p.updateMap(bpf.NetMapFlowGuests, slot, &bpf.NetFlowGuest{}),
		p.updateMap(bpf.NetMapFlowCount, slot, [][]byte{}), // CPUs that are not given become zero
	}
	for row := range flowRows {
		errs = append(errs, p.updateMap(bpf.NetMapNetHist, slot*flowRows+row, [][]byte{}))
	}
	return errors.Join(errs...)
}

// Close takes the table away; what was counted stays. It may be called again.
func (t *flowTable) Close() error {
	t.stop()
	<-t.done
	last, err := t.read()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last != nil {
		return nil
	}
	t.last = &last
	return errors.Join(err, t.p.deleteKey(bpf.NetMapFlows, t.slot), t.m.Close())
}

func (t *flowTable) run(stop <-chan struct{}) {
	defer close(t.done)
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			err := t.sweep(now())
			t.mu.Lock()
			t.err = err
			t.mu.Unlock()
		}
	}
}

// sweep removes what is given up at a time.
func (t *flowTable) sweep(at int64) error {
	var guest bpf.NetFlowGuest
	if err := t.p.loader.maps[bpf.NetMapFlowGuests].Lookup(t.slot, &guest); err != nil {
		return fmt.Errorf("read BPF map flow_guests: %w", err)
	}
	// In batches: the kernel walks whole buckets, so that entries which come and
	// go meanwhile do not end the walk.
	const batch = 128
	keys, flows := make([]bpf.NetFlowKey, batch), make([]bpf.NetFlow, batch)
	var cursor ebpf.MapBatchCursor
	for {
		n, err := t.m.BatchLookup(&cursor, keys, flows, nil)
		last := errors.Is(err, ebpf.ErrKeyNotExist)
		if err != nil && !last {
			return fmt.Errorf("read a guest's table of network flows: %w", err)
		}
		for i := range n {
			if !givenUp(&flows[i], at) {
				continue
			}
			if err := t.drop(&keys[i], &guest, at); err != nil {
				return err
			}
		}
		if last {
			return nil
		}
	}
}

// givenUp tells whether an entry has waited for too long.
func givenUp(f *bpf.NetFlow, at int64) bool {
	patience := answerPatience
	switch bpf.NetFlowState(f.State) {
	case bpf.NetFlowStateFLOW_CONNECTING:
		patience = connectPatience
	case bpf.NetFlowStateFLOW_OPEN:
		patience = idlePatience
	}
	return at-int64(f.SeenNs) > int64(patience)
}

// drop removes an entry, unless its answer comes in this very moment.
func (t *flowTable) drop(key *bpf.NetFlowKey, guest *bpf.NetFlowGuest, at int64) error {
	var f bpf.NetFlow
	err := t.m.LookupAndDelete(key, &f)
	if errors.Is(err, ebpf.ErrNotSupported) || errors.Is(err, unix.EINVAL) { // of hash maps: Linux 5.14
		if err = t.m.Lookup(key, &f); err == nil {
			err = t.m.Delete(key)
		}
	}
	switch {
	case errors.Is(err, ebpf.ErrKeyNotExist):
		return nil // answered
	case err != nil:
		return fmt.Errorf("delete from a guest's table of network flows: %w", err)
	case !givenUp(&f, at):
		if err := t.m.Update(key, &f, ebpf.UpdateNoExist); err != nil && !errors.Is(err, ebpf.ErrKeyExist) {
			return fmt.Errorf("put back into a guest's table of network flows: %w", err)
		}
		return nil
	}
	if row, ok := unansweredRow(key, &f, guest); ok {
		t.mu.Lock()
		t.unanswered[row]++
		t.mu.Unlock()
	}
	return nil
}

// unansweredRow is where a request that was given up counts. It does not if none
// was open, or if it went to all stations and asked for an address that the
// guest has not called its own: a bridge floods such to all its ports.
func unansweredRow(key *bpf.NetFlowKey, f *bpf.NetFlow, guest *bpf.NetFlowGuest) (row uint32, ok bool) {
	kind := uint32(key.Kind)
	switch bpf.NetFlowState(f.State) {
	case bpf.NetFlowStateFLOW_OPEN, bpf.NetFlowStateFLOW_CLOSING:
		kind = uint32(bpf.NetFlowKindFLOW_TCP_FIRST)
		if f.Answered != 0 {
			kind = uint32(bpf.NetFlowKindFLOW_TCP_NEXT)
		}
	case bpf.NetFlowStateFLOW_ASKED:
		toAll := f.Group != 0 && bpf.NetFlowSide(f.Side) == bpf.NetFlowSideFLOW_BY_GUEST
		if toAll && key.B != guest.Ip6 && key.B != [4]uint32{guest.Ip4} {
			return 0, false
		}
	}
	row = kind*uint32(len(flowSides)) + uint32(f.Side)
	return row, f.Ns != 0 && row < flowRows
}

// Network reads what was seen of requests and answers on the guest's device. It
// is an error if that was not measured: without a device, or without
// [Target].Flows.
func (w *Watch) Network() (Network, error) {
	dev := w.device()
	if dev == nil {
		return Network{}, errors.New("network latencies: this guest has no network device that is watched")
	}
	if dev.flows == nil {
		return Network{}, errors.New("network latencies: the guest's device is watched without them: set Target.Flows")
	}
	return dev.flows.read()
}

func (t *flowTable) read() (Network, error) {
	n := Network{Responses: map[Exchange]Histogram{}, Unanswered: map[Exchange]uint64{}, Repeated: map[Exchange]uint64{},
		Refused: map[Exchange]uint64{}, Unparsed: map[string]uint64{}}
	t.mu.Lock()
	if t.last != nil {
		defer t.mu.Unlock()
		return *t.last, t.err
	}
	for row, k := range t.unanswered {
		addNonZero(n.Unanswered, exchangeOf(uint32(row)), k)
	}
	errs := []error{t.err}
	t.mu.Unlock()
	var perCPU []bpf.NetFlowCounts
	if err := t.p.loader.maps[bpf.NetMapFlowCount].Lookup(t.slot, &perCPU); err != nil {
		return n, errors.Join(append(errs, fmt.Errorf("read BPF map flow_count: %w", err))...)
	}
	var answered [flowRows]uint64
	for _, c := range perCPU {
		n.Lost += c.Lost
		n.Untracked += c.Untracked
		for i, k := range c.Unparsed {
			addNonZero(n.Unparsed, flowUnparsed[i], k)
		}
		for row := range flowRows {
			e := exchangeOf(row)
			answered[row] += c.Answered[row]
			addNonZero(n.Unanswered, e, c.Unanswered[row])
			addNonZero(n.Repeated, e, c.Repeated[row])
			addNonZero(n.Refused, e, c.Refused[row])
		}
	}
	for row, k := range answered {
		if k == 0 {
			continue // a scrape does not read what is empty
		}
		h, _, err := t.p.readHist(bpf.NetMapNetHist, t.slot*flowRows+uint32(row))
		errs = append(errs, err)
		n.Responses[exchangeOf(uint32(row))] = h
	}
	return n, errors.Join(errs...)
}

func addNonZero[K comparable](m map[K]uint64, k K, n uint64) {
	if n > 0 {
		m[k] += n
	}
}

// lostFlows is the cause of loss that Network.Lost counts.
const lostFlows = "flows"

// readNetwork adds it to the counts, if it is measured.
func (w *Watch) readNetwork(c *Counts) error {
	dev := w.device()
	if dev == nil || dev.flows == nil {
		return nil
	}
	var err error
	c.Network, err = dev.flows.read()
	addNonZero(c.Lost, lostFlows, c.Network.Lost)
	return err
}

// Add adds another guest's.
func (n *Network) Add(o Network) {
	n.Unanswered = addCounts(n.Unanswered, o.Unanswered)
	n.Repeated = addCounts(n.Repeated, o.Repeated)
	n.Refused = addCounts(n.Refused, o.Refused)
	n.Unparsed = addCounts(n.Unparsed, o.Unparsed)
	n.Responses = addHistograms(n.Responses, o.Responses)
	n.Untracked += o.Untracked
	n.Lost += o.Lost
}
