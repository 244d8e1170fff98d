// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/ukprobe/ukprobe/bpf"
)

// A bench runs single programs of the object files through PROG_TEST_RUN, on
// real maps and with the real reader, but with no hook attached: nothing but
// what a test hands in is counted.
type bench struct {
	*Probe
	t     testing.TB
	progs map[string]*ebpf.Program
}

// objTest is the object of programs that only tests run.
const objTest object = 100

// newBench makes a probe of so many slots without hooks, for an ISA.
func newBench(t testing.TB, slots int, isa ISA) *bench {
	t.Helper()
	needRoot(t)
	// A vCPU is a thread: all that a test fires has to come from one.
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	schema := DefaultSchema
	p, err := newProbe(Options{Attach: Auto, Slots: slots, Schema: &schema}, isa)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := bpf.LoadHistTest()
	if err != nil {
		t.Fatal(err)
	}
	p.loader.specs[objTest] = spec
	for _, m := range spec.Maps {
		p.loader.sizeMap(m)
	}
	if err := p.loader.setConstants(); err != nil {
		t.Fatal(err)
	}
	b := &bench{Probe: p, t: t, progs: map[string]*ebpf.Program{}}
	t.Cleanup(func() {
		for _, prog := range b.progs {
			_ = prog.Close()
		}
		if err := p.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return b
}

// on is the same bench for a subtest. What it opens ends with that.
func (b *bench) on(t *testing.T) *bench {
	c := *b
	c.t = t
	return &c
}

// pretend makes the timelines believe that a hook is attached.
func (b *bench) pretend(name string, rung Rung, refused ...Refusal) {
	for i := range hooks {
		if hooks[i].name == name {
			b.states = append(b.states, &state{hook: &hooks[i], rung: rung, refused: refused})
			return
		}
	}
	b.t.Fatalf("no hook %s", name)
}

// ran makes a watch believe that its guest has been in KVM_RUN: before that no count
// of KVM's means anything.
func (b *bench) ran(w *Watch) {
	b.t.Helper()
	s := slotOf(b.t, w)
	s.Marks[bpf.KVMMarkKindMARK_FIRST_RUN].Ns = uint64(now())
	if err := b.updateMap(bpf.KVMMapSlots, w.slot, &s); err != nil {
		b.t.Fatal(err)
	}
}

// load gives a program, loaded once.
func (b *bench) load(obj object, name string) *ebpf.Program {
	b.t.Helper()
	prog := b.progs[name]
	if prog == nil {
		var err error
		if prog, err = b.loader.load(obj, name, ""); err != nil {
			b.t.Fatalf("load %s: %+v", name, err)
		}
		b.progs[name] = prog
	}
	return prog
}

// objectOf is the object file that a program is in.
func (b *bench) objectOf(name string) object {
	for obj, spec := range b.loader.specs {
		if _, ok := spec.Programs[name]; ok {
			return obj
		}
	}
	b.t.Fatalf("no program %s", name)
	return 0
}

// fire runs a raw tracepoint program with the arguments that the kernel's
// tracepoint has.
func (b *bench) fire(name string, args ...uint64) {
	b.t.Helper()
	if len(args) == 0 {
		args = []uint64{0}
	}
	if _, err := b.load(b.objectOf(name), name).Run(&ebpf.RunOptions{Context: args}); err != nil {
		b.t.Fatalf("run %s: %v", name, err)
	}
}

// fireRecord runs a classic tracepoint's program on the record that perf would
// hand it. The kernel has no PROG_TEST_RUN for that type; as a raw tracepoint's
// the same instructions may read the same bytes.
func (b *bench) fireRecord(name string, record []byte) {
	b.t.Helper()
	key := "record of " + name
	if b.progs[key] == nil {
		spec := b.loader.specs[b.objectOf(name)].Copy()
		spec.Programs = map[string]*ebpf.ProgramSpec{name: spec.Programs[name]}
		spec.Programs[name].Type = ebpf.RawTracepoint
		coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{
			MapReplacements: b.loader.mapsOf(spec),
			Programs:        ebpf.ProgramOptions{ExtraRelocationTargets: b.loader.modules},
		})
		if err != nil {
			b.t.Fatalf("load %s: %+v", name, err)
		}
		b.progs[key] = coll.DetachProgram(name)
		coll.Close()
	}
	if _, err := b.progs[key].Run(&ebpf.RunOptions{Context: record}); err != nil {
		b.t.Fatalf("run %s: %v", name, err)
	}
}

// frame runs a tc program with a frame and returns its verdict.
func (b *bench) frame(name string, data []byte) int32 {
	b.t.Helper()
	ret, err := b.load(objNet, name).Run(&ebpf.RunOptions{Data: data})
	if err != nil {
		b.t.Fatalf("run %s with %x: %v", name, data, err)
	}
	return int32(ret)
}

// open watches a target until the test ends.
func (b *bench) open(target Target) *Watch {
	b.t.Helper()
	w, err := b.Watch(target)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		if b.watches[w.slot] != w {
			return // the test has closed it
		}
		if err := w.Close(); err != nil {
			b.t.Errorf("close watch: %v", err)
		}
	})
	return w
}

// slot reads the slot of a watch.
func slotOf(t testing.TB, w *Watch) bpf.KVMSlot {
	t.Helper()
	s, err := w.state()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// counts reads the counts of a watch.
func countsOf(t *testing.T, w *Watch) Counts {
	t.Helper()
	c, err := w.Counts()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// eventually waits for what the reader's goroutine has to bring.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after 5 s still not: %s", what)
		}
	}
}

// nowhere is the id of a cgroup that no process is in. 1 would be the root's.
const nowhere = 1 << 40

// v2Mount is where the cgroup v2 hierarchy is.
func v2Mount(t testing.TB) string {
	t.Helper()
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(info)) {
		left, right, _ := strings.Cut(line, " - ")
		if strings.HasPrefix(right, "cgroup2 ") {
			return strings.Fields(left)[4]
		}
	}
	t.Skip("needs a mounted cgroup v2 hierarchy")
	return ""
}

// cgroupID is a cgroup directory's inode number, which is its id.
func cgroupID(t testing.TB, dir string) uint64 {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(dir, &st); err != nil {
		t.Fatalf("stat %s: %v", dir, err)
	}
	return st.Ino
}

// ownCgroup is the id of the cgroup that this test runs in: what
// bpf_get_current_cgroup_id gives during PROG_TEST_RUN.
func ownCgroup(t testing.TB) uint64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return cgroupID(t, filepath.Join(v2Mount(t), path))
		}
	}
	t.Skip("this process is in no cgroup of a v2 hierarchy")
	return 0
}

// kernelBuffer is memory of the kernel whose address is known: the value of an
// array map, of which a small program tells the address. Tracepoints hand such
// pointers to programs.
type kernelBuffer struct {
	t    testing.TB
	m    *ebpf.Map
	Addr uint64 // of the first byte that can be set
	size int
}

func newKernelBuffer(t testing.TB, size int) *kernelBuffer {
	t.Helper()
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: uint32(8 + size), MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: "GPL", Instructions: asm.Instructions{
		asm.LoadMapValue(asm.R1, m.FD(), 0),
		asm.StoreMem(asm.R1, 0, asm.R1, asm.DWord), // the pointer, into its own target
		asm.Mov.Imm(asm.R0, 0),
		asm.Return(),
	}})
	if err != nil {
		t.Fatalf("load the program that tells a map value's address: %+v", err)
	}
	defer prog.Close()
	if _, err := prog.Run(&ebpf.RunOptions{Data: make([]byte, 64)}); err != nil {
		t.Fatal(err)
	}
	b := &kernelBuffer{t: t, m: m, size: size}
	value := make([]byte, 8+size)
	if err := m.Lookup(uint32(0), &value); err != nil {
		t.Fatal(err)
	}
	b.Addr = nativeUint64(value) + 8
	return b
}

// Set writes the buffer.
func (b *kernelBuffer) Set(data []byte) {
	b.t.Helper()
	if len(data) > b.size {
		b.t.Fatalf("%d bytes into a buffer of %d", len(data), b.size)
	}
	value := make([]byte, 8+b.size)
	copy(value[8:], data)
	if err := b.m.Put(uint32(0), value); err != nil {
		b.t.Fatal(err)
	}
}

// freshCgroup makes a cgroup for one test and removes it at its end.
func freshCgroup(t testing.TB) (dir string, fd int, id uint64) {
	t.Helper()
	dir, err := os.MkdirTemp(v2Mount(t), fmt.Sprintf("ukprobe-probetest-%d-", os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = f.Close()
		var err error
		for range 100 { // a process that has just ended still counts for a moment
			if err = syscall.Rmdir(dir); !errors.Is(err, syscall.EBUSY) {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if err != nil {
			t.Errorf("remove %s: %v", dir, err)
		}
	})
	return dir, int(f.Fd()), cgroupID(t, dir)
}
