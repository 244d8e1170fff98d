// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/bpf"
	"github.com/ukprobe/ukprobe/guests/reference"
)

// tapped are the maps of the histograms that testdata/tap.h taps, in its order.
var tapped = []string{bpf.KVMMapExitHist, bpf.KVMMapGuestHist, bpf.KVMMapUserExitHist, bpf.KVMMapSpanHist}

// tapKey is a row of one of them.
type tapKey struct{ table, key uint32 }

// tapBench is a probe whose programs also tell each observation by itself.
type tapBench struct {
	*bench
	t *testing.T
}

// newTapBench compiles the programs with testdata/tap.h in front of them, as `make
// generate` does without it.
func newTapBench(t *testing.T, schema int, isa ISA) tapBench {
	t.Helper()
	const clang = "clang-14"
	if _, err := exec.LookPath(clang); err != nil {
		t.Skip(clang + " is missing: install the package clang-14")
	}
	needRoot(t)
	runtime.LockOSThread() // a vCPU is a thread
	t.Cleanup(runtime.UnlockOSThread)
	p, err := newProbe(Options{Attach: Auto, Slots: 2, Schema: &schema}, isa)
	if err != nil {
		t.Fatal(err)
	}
	b := tapBench{&bench{Probe: p, t: t, progs: map[string]*ebpf.Program{}}, t}
	t.Cleanup(func() {
		for _, prog := range b.progs {
			_ = prog.Close()
		}
		if err := p.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	dir := t.TempDir()
	for obj, source := range map[object]string{objKVM: "kvm.bpf.c", objProc: "proc.bpf.c"} {
		out := filepath.Join(dir, source+".o")
		cmd := exec.Command(clang, "-O2", "-g", "-Wall", "-Werror", "-mcpu=v3", "-target", "bpfel", "-D__TARGET_ARCH_x86",
			"-fno-ident", "-I", "../bpf", "-include", "testdata/tap.h", "-c", "../bpf/"+source, "-o", out)
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd, err, text)
		}
		spec, err := ebpf.LoadCollectionSpec(out)
		if err != nil {
			t.Fatal(err)
		}
		b.loader.specs[obj] = spec
		for name, m := range spec.Maps {
			b.loader.sizeMap(m)
			if strings.HasPrefix(name, ".") || b.loader.maps[name] != nil {
				continue
			}
			if b.loader.maps[name], err = ebpf.NewMap(m); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := b.loader.setConstants(); err != nil {
		t.Fatal(err)
	}
	return b
}

// read takes all observations out of the ring buffer, and fails if one is missing.
func (b tapBench) read() map[tapKey][]uint64 {
	b.t.Helper()
	var lost uint64
	if err := b.loader.maps["taps_lost"].Lookup(uint32(0), &lost); err != nil || lost != 0 {
		b.t.Fatalf("%d observations are missing (%v): the ring buffer is too small for this test", lost, err)
	}
	r, err := ringbuf.NewReader(b.loader.maps["taps"])
	if err != nil {
		b.t.Fatal(err)
	}
	defer r.Close()
	r.SetDeadline(time.Now()) // nothing is written any more
	out := map[tapKey][]uint64{}
	for {
		rec, err := r.Read()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return out
		}
		if err != nil {
			b.t.Fatal(err)
		}
		k := tapKey{binary.NativeEndian.Uint32(rec.RawSample), binary.NativeEndian.Uint32(rec.RawSample[4:])}
		out[k] = append(out[k], binary.NativeEndian.Uint64(rec.RawSample[8:]))
	}
}

// check holds each row's histogram against the observations that went into it: the
// number, the sum, each bucket, and the quantiles, none of which may be in another
// bucket than the exact one.
func (b tapBench) check(spans map[tapKey][]uint64) {
	b.t.Helper()
	for k, exact := range spans {
		name := fmt.Sprintf("%s, row %d", tapped[k.table], k.key)
		h, _, err := b.readHist(tapped[k.table], k.key)
		if err != nil {
			b.t.Fatal(err)
		}
		slices.Sort(exact)
		var sum uint64
		buckets := map[int]uint64{}
		for _, ns := range exact {
			sum += ns
			if ns > 0 {
				buckets[clientIndex(b.t, h.Schema, ns)]++
			}
		}
		if diff := cmp.Diff(buckets, h.Buckets); diff != "" {
			b.t.Errorf("%s: buckets (-want +got)\n%s", name, diff)
		}
		if h.Count != uint64(len(exact)) || h.SumNS != sum {
			b.t.Errorf("%s: %d observations of %d ns, want %d of %d ns", name, h.Count, h.SumNS, len(exact), sum)
		}
		for _, q := range []float64{0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 1} {
			ns := exact[max(0, int(math.Ceil(q*float64(len(exact))))-1)]
			want := time.Duration(0)
			if ns > 0 {
				want = UpperBound(h.Schema, clientIndex(b.t, h.Schema, ns))
			}
			if got := h.Quantile(q); got != want {
				b.t.Errorf("%s, %d observations: quantile %v is %d ns, in the bucket up to %v; the histogram says %v", name, len(exact), q, ns, want, got)
			}
		}
	}
}

// TestQuantilesOfFiredExits: exits and entries that the test fires, a thousand apart
// by whatever time passes.
func TestQuantilesOfFiredExits(t *testing.T) {
	const n = 1000
	for _, schema := range []int{MinSchema, DefaultSchema, MaxSchema} {
		t.Run(fmt.Sprint("schema ", schema), func(t *testing.T) {
			b := newTapBench(t, schema, SVM)
			b.open(kvmTarget(t))
			for range n {
				b.fire("raw_tp_entry")
				b.fireRecord("tracepoint_kvm_exit", kvmExit(isaSVM, 0x7b, 0))
			}
			spans := b.read()
			var handled, ran int
			for k, s := range spans {
				switch tapped[k.table] {
				case bpf.KVMMapExitHist:
					handled += len(s)
				case bpf.KVMMapGuestHist:
					ran += len(s)
				}
			}
			if handled != n-1 || ran != n {
				t.Fatalf("%d exits handled and %d times in the guest: want %d and %d", handled, ran, n-1, n)
			}
			b.check(spans)
		})
	}
}

// TestQuantilesOfAGuest: whatever this host's KVM gives of a real guest: exits by
// reason where there are some, round trips through the VMM, halts.
func TestQuantilesOfAGuest(t *testing.T) {
	qemu, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		t.Skip("qemu-system-x86_64 is missing: install the package qemu-system-x86")
	}
	if f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0); err != nil {
		t.Skipf("/dev/kvm is missing: %v", err)
	} else {
		_ = f.Close()
	}
	b := newTapBench(t, DefaultSchema, HostISA())
	if err := b.attachHooks(); err != nil {
		t.Fatal(err)
	}
	_, fd, id := freshCgroup(t)
	b.open(Target{CgroupID: id, KVM: true, Full: true})
	kernel := filepath.Join(t.TempDir(), "reference.elf")
	if err := os.WriteFile(kernel, reference.Image(), 0o644); err != nil {
		t.Fatal(err)
	}
	cpu := "host"
	if !HasVirtualisation() {
		cpu = "host,-arch-capabilities"
	}
	const pio, hlt = 3000, 10
	cmd := exec.Command(qemu, "-M", "microvm,acpi=off,pit=off,pic=off,rtc=off,x-option-roms=off", "-accel", "kvm", "-cpu", cpu,
		"-m", "16", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio", "-kernel", kernel,
		"-append", reference.Cmdline{PIO: pio, CPUID: pio, HLT: hlt, End: reference.EndExit}.String())
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: fd, Pdeathsig: syscall.SIGKILL}
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the guest: %v\n%s", err, text)
	}
	spans := b.read()
	byTable := map[string]int{}
	for k, s := range spans {
		byTable[tapped[k.table]] += len(s)
	}
	t.Logf("observations: %v", byTable)
	if byTable[bpf.KVMMapUserExitHist] < pio || byTable[bpf.KVMMapSpanHist] < hlt {
		t.Errorf("%v: want at least %d round trips and %d halts", byTable, pio, hlt)
	}
	if HasVirtualisation() && byTable[bpf.KVMMapExitHist] < 2*pio {
		t.Errorf("%v: want at least %d exits", byTable, 2*pio)
	}
	b.check(spans)
}
