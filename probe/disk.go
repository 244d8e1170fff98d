// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"

	"github.com/ukprobe/ukprobe/bpf"
)

// HookDisk is the hook of [Disk].
const HookDisk = "disk"

// objDisk is beside those of a Probe: it shares no map with them.
const objDisk object = -2

// diskHook has the rungs that tell a system call's arguments.
var diskHook = hook{name: HookDisk, obj: objDisk, onDemand: true, tells: "reads, writes and flushes of a guest's disk, as the host does them",
	rungs: map[Rung][]program{
		TPBTF: {{name: "tp_btf_disk_enter"}, {name: "tp_btf_disk_exit"}},
		RawTP: {{name: "raw_tp_disk_enter"}, {name: "raw_tp_disk_exit"}}}}

// DiskOptions say whose calls on which files are seen.
type DiskOptions struct {
	// Attach is the rung to begin with; "" is Auto.
	Attach Rung
	// Group is the id of the cgroup whose tasks count; 0: all that use the files.
	Group uint64
	// Level, if not 0, is at which level of the hierarchy that group is: groups below it
	// count too, on Linux 5.15 and later.
	Level int
	// Files are the disks' files.
	Files []string
	// Unlinked has regular files count that have no name any more, such as QEMU's of
	// what a guest has written to a snapshot.
	Unlinked bool
}

// DiskCalls are the system calls of one kind: pread64, preadv, read and their like;
// pwrite64 …; fsync and fdatasync.
type DiskCalls struct {
	Count  uint64 // that succeeded
	Bytes  uint64 // that they moved
	Errors uint64
	// Latency is from a call's beginning to its end.
	Latency Histogram
	// Sizes counts those that moved anything by their size: n stands for 2^n up to
	// 2^(n+1)-1 bytes.
	Sizes [bpfDiskSizes]uint64
}

// bpfDiskSizes is SIZE_CLASSES of bpf/disk.bpf.c.
const bpfDiskSizes = 32

// DiskIO is what was seen of some files.
type DiskIO struct {
	Reads, Writes, Flushes DiskCalls
	// Unseen are calls that hand over many requests at once, for whatever file:
	// io_submit and io_uring_enter. What is asked by them is in none of the above.
	Unseen uint64
	// Calls are all reads, writes and flushes of those who count, of whatever file: with
	// none of them nothing says that the programs saw who they were to see.
	Calls uint64
	// Lost is what the above may lack: calls for which there was no room or whose end was
	// not seen, and runs of the programs, of the whole host, that the kernel left out.
	Lost uint64
}

// Disk sees the system calls by which a VMM, or a program, reads and writes some files.
// While it is open it costs each system call of the host a look at its number.
type Disk struct {
	loader *loader
	state  *state
	files  []*os.File // keep their inodes where they are
}

// OpenDisk begins to look. Needs Linux 5.10, and what [Open] needs.
func OpenDisk(o DiskOptions) (_ *Disk, err error) {
	if o.Attach == "" {
		o.Attach = Auto
	}
	l, err := alone(objDisk, bpf.LoadDisk)
	if err != nil {
		return nil, err
	}
	if o.Level > 0 && haveAncestors() != nil {
		o.Level = 0
	}
	for name, value := range map[string]any{"disk_group": o.Group, "disk_level": uint32(o.Level), "disk_unlinked": number(o.Unlinked), "hist_schema": uint32(DefaultSchema)} {
		if err := l.specs[objDisk].Variables[name].Set(value); err != nil {
			return nil, fmt.Errorf("set BPF variable %s: %w", name, err)
		}
	}
	d := &Disk{loader: l}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	if err := l.makeMaps(); err != nil {
		return nil, err
	}
	if err := d.add(o.Files); err != nil {
		return nil, err
	}
	if d.state = d.loader.attachHook(&diskHook, o.Attach, false); d.state.rung == "" {
		return nil, fmt.Errorf("attach %s: %s%s", HookDisk, HookStatus{Refused: d.state.refused}.Why(), rootHint())
	}
	return d, nil
}

// add has the kernel find the files' inodes.
func (d *Disk) add(paths []string) error {
	prog, err := d.loader.load(objDisk, bpf.DiskProgAddFile, "")
	if err != nil {
		return fmt.Errorf("load BPF program %s: %w", bpf.DiskProgAddFile, err)
	}
	defer func() { _ = prog.Close() }()
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("the disk's file: %w", err)
		}
		d.files = append(d.files, f)
		got, err := prog.Run(&ebpf.RunOptions{Context: []uint64{uint64(f.Fd())}})
		if err == nil && got != 0 {
			err = errors.New("its inode is not found, or there are too many files")
		}
		if err != nil {
			return fmt.Errorf("look at %s: run BPF program %s (Linux 5.10): %w", path, bpf.DiskProgAddFile, err)
		}
	}
	return nil
}

// Hook is the hook, with the rung that it got.
func (d *Disk) Hook() HookStatus { return d.state.status() }

// Read returns what was seen so far.
func (d *Disk) Read() (DiskIO, error) {
	var out DiskIO
	var errs []error
	for op, to := range map[bpf.DiskDiskOp]*DiskCalls{bpf.DiskDiskOpDISK_READ: &out.Reads, bpf.DiskDiskOpDISK_WRITE: &out.Writes, bpf.DiskDiskOpDISK_FLUSH: &out.Flushes} {
		errs = append(errs, d.read(uint32(op), to))
	}
	for note, to := range map[bpf.DiskDiskNote]*uint64{bpf.DiskDiskNoteNOTE_IO_SUBMIT: &out.Unseen, bpf.DiskDiskNoteNOTE_IO_URING: &out.Unseen,
		bpf.DiskDiskNoteNOTE_CALLS: &out.Calls, bpf.DiskDiskNoteNOTE_LOST: &out.Lost} {
		var perCPU []uint64
		errs = append(errs, d.loader.maps[bpf.DiskMapDiskNotes].Lookup(uint32(note), &perCPU))
		for _, n := range perCPU {
			*to += n
		}
	}
	out.Lost += d.state.missed()
	if err := errors.Join(errs...); err != nil {
		return DiskIO{}, fmt.Errorf("read what was seen of a disk: %w", err)
	}
	return out, nil
}

func (d *Disk) read(op uint32, to *DiskCalls) error {
	var perCPU []bpf.DiskDiskCount
	if err := d.loader.maps[bpf.DiskMapDiskCounts].Lookup(op, &perCPU); err != nil {
		return err
	}
	for _, c := range perCPU {
		to.Count += c.Count
		to.Bytes += c.Bytes
		to.Errors += c.Errors
		for i, n := range c.Sizes {
			to.Sizes[i] += n
		}
	}
	raw, err := d.loader.maps[bpf.DiskMapDiskHist].LookupBytes(op)
	if err != nil {
		return err
	}
	to.Latency, _ = sumHist(raw, DefaultSchema)
	return nil
}

// Since is what was seen after an earlier reading.
func (d DiskIO) Since(before DiskIO) DiskIO {
	return DiskIO{Reads: d.Reads.since(before.Reads), Writes: d.Writes.since(before.Writes), Flushes: d.Flushes.since(before.Flushes),
		Unseen: less(d.Unseen, before.Unseen), Calls: less(d.Calls, before.Calls), Lost: less(d.Lost, before.Lost)}
}

func (c DiskCalls) since(before DiskCalls) DiskCalls {
	out := DiskCalls{Count: less(c.Count, before.Count), Bytes: less(c.Bytes, before.Bytes), Errors: less(c.Errors, before.Errors), Latency: lessHistogram(c.Latency, before.Latency)}
	for i := range c.Sizes {
		out.Sizes[i] = less(c.Sizes[i], before.Sizes[i])
	}
	return out
}

// Close detaches everything. Nil is closed.
func (d *Disk) Close() error {
	if d == nil {
		return nil
	}
	var errs []error
	if d.state != nil {
		errs = append(errs, d.state.detach())
	}
	for _, f := range d.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(append(errs, d.loader.Close())...)
}
