// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/bpf"
)

// tcPrograms are the two programs for network devices, loaded once.
type tcPrograms struct {
	out, in *ebpf.Program // out of the guest: the tap's ingress
	refused []Refusal
	rung    Rung
}

func (t *tcPrograms) Close() error { return errors.Join(t.out.Close(), t.in.Close()) }

// Device is a tap or veth that is watched.
type Device struct {
	Rung  Rung
	key   bpf.KVMDeviceKey
	ns    *os.File // its network namespace: held on to, the key stays its own
	tap   bool     // else a veth or something else that is not the tun driver's
	p     *Probe
	flows *flowTable // nil: latencies are not measured
	undo  []func() error
}

// WatchDevice attaches to the guest's network device: the tap, or the host's end
// of a veth. The calling thread must be in the device's network namespace; Close may
// be called in any.
//
// The rung is tcx where the kernel has it (Linux 6.6), else clsact. Of that, what is
// attached stays on the device if the process is killed: [Watch.WatchDeviceByTCX]
// does without.
func (w *Watch) WatchDevice(ifindex int) error {
	return w.watchDevice(ifindex, (*Device).attachClsact)
}

// WatchDeviceByTCX is WatchDevice for devices that are not the caller's own: tcx or
// an error, so that nothing can stay behind.
func (w *Watch) WatchDeviceByTCX(ifindex int) error {
	return w.watchDevice(ifindex, func(*Device, *tcPrograms) error {
		return errors.New("not wanted: it would stay behind on the device if the process were killed")
	})
}

// watchDevice attaches by tcx, else by clsact.
func (w *Watch) watchDevice(ifindex int, clsact func(*Device, *tcPrograms) error) error {
	if w.device() != nil {
		return errors.New("watch device: this guest already has one")
	}
	progs, err := w.p.tcLoad()
	if err != nil {
		return err
	}
	dev, err := w.newDevice(ifindex)
	if err != nil {
		return err
	}
	if err := w.addDevice(dev); err != nil {
		return errors.Join(err, dev.ns.Close())
	}
	tcxErr := dev.attachTCX(progs)
	if tcxErr == nil {
		dev.Rung = TCX
	} else if err := clsact(dev, progs); err != nil {
		return errors.Join(fmt.Errorf("attach to network device %d: tcx: %s; clsact: %w", ifindex, explain(tcxErr, TCX), err), dev.Close())
	} else {
		dev.Rung = Clsact
	}
	w.p.noteTC(dev.Rung, tcxErr)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dev = dev
	return nil
}

// addDevice tells the programs of the device. Frames that pass it are counted once
// the programs are attached.
func (w *Watch) addDevice(dev *Device) (err error) {
	d := bpf.KVMDevice{Slot: w.slot, ServicePort: w.target.ServicePort}
	if exec := w.p.state(HookExec); w.target.FromExec && exec != nil && exec.rung != "" {
		d.Flags |= deviceFromExec
	}
	if w.target.Flows {
		if dev.flows, err = w.p.openFlows(w.slot, w.target.MaxFlows); err != nil {
			return fmt.Errorf("watch device %d: %w", dev.key.Ifindex, err)
		}
		d.Flags |= deviceFlows
	}
	if err = w.p.addKey(bpf.KVMMapDevices, &dev.key, &d); err == nil {
		return nil
	}
	if errors.Is(err, ebpf.ErrKeyExist) {
		err = fmt.Errorf("watch device %d: it is already watched", dev.key.Ifindex)
	}
	return errors.Join(err, dev.closeFlows())
}

// threadNetNS opens the calling thread's network namespace. Its inode number is
// what the kernel knows it by (net->ns.inum).
func threadNetNS() (*os.File, uint32, error) {
	f, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, 0, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, 0, errors.Join(fmt.Errorf("stat %s: %w", f.Name(), err), f.Close())
	}
	return f, uint32(st.Ino), nil
}

// newDevice looks at the device in the thread's namespace.
func (w *Watch) newDevice(ifindex int) (*Device, error) {
	l, err := netlink.LinkByIndex(ifindex)
	if err != nil {
		return nil, fmt.Errorf("watch device %d: %w", ifindex, err)
	}
	ns, inum, err := threadNetNS()
	if err != nil {
		return nil, fmt.Errorf("watch device %d: find its network namespace: %w", ifindex, err)
	}
	_, tap := l.(*netlink.Tuntap)
	return &Device{key: bpf.KVMDeviceKey{Netns: inum, Ifindex: uint32(ifindex)}, ns: ns, tap: tap, p: w.p}, nil
}

// tcLoad loads the two programs at the first use.
func (p *Probe) tcLoad() (*tcPrograms, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tc != nil {
		return p.tc, nil
	}
	out, err := p.loader.load(objNet, bpf.NetProgTcOut, "")
	if err != nil {
		return nil, fmt.Errorf("load BPF program tc_out: %w", err)
	}
	in, err := p.loader.load(objNet, bpf.NetProgTcIn, "")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("load BPF program tc_in: %w", err), out.Close())
	}
	p.tc = &tcPrograms{out: out, in: in}
	return p.tc, nil
}

func (p *Probe) noteTC(rung Rung, tcxErr error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tc.rung = rung
	if tcxErr != nil && len(p.tc.refused) == 0 {
		p.tc.refused = []Refusal{{Rung: TCX, Reason: explain(tcxErr, TCX)}}
	}
}

func (p *Probe) tcStatus() []HookStatus {
	out := []HookStatus{
		{Hook: HookTCOut, Tells: "frame_out, syn_ack, first_response; frames and bytes out of the guest; how long answers take", OnDemand: true, Hits: p.hits(bpf.KVMHookHOOK_TC_OUT)},
		{Hook: HookTCIn, Tells: "frame_in, syn, first_request; frames and bytes into the guest; how long answers take", OnDemand: true, Hits: p.hits(bpf.KVMHookHOOK_TC_IN)},
	}
	if p.tc != nil {
		for i := range out {
			out[i].Rung, out[i].Refused = p.tc.rung, p.tc.refused
		}
	}
	return out
}

// attachTCX puts both programs in as links, which vanish with this process, before
// all others: a program that decides (TC_ACT_OK, say) ends the row.
func (d *Device) attachTCX(progs *tcPrograms) error {
	for _, a := range []struct {
		prog   *ebpf.Program
		attach ebpf.AttachType
	}{{progs.out, ebpf.AttachTCXIngress}, {progs.in, ebpf.AttachTCXEgress}} {
		l, err := link.AttachTCX(link.TCXOptions{Interface: int(d.key.Ifindex), Program: a.prog, Attach: a.attach, Anchor: link.Head()})
		if err != nil {
			err = errors.Join(err, d.detach())
			return err
		}
		d.undo = append(d.undo, l.Close)
	}
	return nil
}

func (d *Device) detach() error {
	var errs []error
	for _, u := range slices.Backward(d.undo) {
		errs = append(errs, u())
	}
	d.undo = nil
	return errors.Join(errs...)
}

// Close detaches from the device.
func (d *Device) Close() error {
	return errors.Join(d.detach(), d.p.deleteKey(bpf.KVMMapDevices, &d.key), d.closeFlows(), d.ns.Close())
}

func (d *Device) closeFlows() error {
	if d.flows == nil {
		return nil
	}
	return d.flows.Close()
}
