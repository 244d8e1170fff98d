// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"regexp"
	"testing"

	"github.com/ukprobe/ukprobe/bpf"
)

func TestExitReasonTables(t *testing.T) {
	snake := regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	for _, isa := range []ISA{VMX, SVM} {
		rs := reasonsOf(isa)
		if len(rs)+1 > exitClasses {
			t.Errorf("%s: %d reasons and \"other\" do not fit %d classes", isa, len(rs), exitClasses)
		}
		codes, names := map[uint32]string{}, map[string]bool{"other": true}
		for i, r := range rs {
			folded := exitCode(isa, r.code)
			if before, twice := codes[folded]; twice {
				t.Errorf("%s: %s has the code 0x%x of %s", isa, r.name, r.code, before)
			}
			codes[folded] = r.name
			if names[r.name] {
				t.Errorf("%s: two reasons are called %s", isa, r.name)
			}
			names[r.name] = true
			if folded >= exitCodes-1 {
				t.Errorf("%s: %s (0x%x) folds into the code of what is unknown", isa, r.name, r.code)
			}
			if !snake.MatchString(r.name) {
				t.Errorf("%s: %q is not fit for a metric's label", isa, r.name)
			}
			if got := exitReasonName(isa, i+1); got != r.name {
				t.Errorf("%s: class %d is %s, want %s", isa, i+1, got, r.name)
			}
		}
		for _, class := range []int{-1, 0, len(rs) + 1, exitClasses} {
			if got := exitReasonName(isa, class); got != "other" {
				t.Errorf("%s: class %d is %s, want other", isa, class, got)
			}
		}
	}
}

func TestExitCode(t *testing.T) {
	tests := []struct {
		isa  ISA
		code uint32
		want uint32
	}{
		{VMX, 10, 10}, {VMX, 0x80000000 | 33, 33}, {VMX, 0x00010030, 0x30}, {VMX, 0xaf, 0xaf}, {VMX, 0xb0, 255}, {VMX, 0x400, 255},
		{SVM, 0x78, 0x78}, {SVM, 0x400, 0xb0}, {SVM, 0x40e, 0xbe}, {SVM, 0x40f, 255}, {SVM, 0x3ff, 255}, {SVM, 0x10078, 255}, {SVM, 0xffffffff, 255},
	}
	for _, tt := range tests {
		if got := exitCode(tt.isa, tt.code); got != tt.want {
			t.Errorf("%s 0x%x: %d, want %d", tt.isa, tt.code, got, tt.want)
		}
	}
}

// TestConstantsOfTheISA: what is written into the object is the table, read back code by
// code, and the ISA's own number.
func TestConstantsOfTheISA(t *testing.T) {
	for _, isa := range []ISA{VMX, SVM} {
		spec, err := bpf.LoadKVM()
		if err != nil {
			t.Fatal(err)
		}
		l := &loader{isa: isa, slots: 2, schema: DefaultSchema, cache: btf.NewCache(), specs: map[object]*ebpf.CollectionSpec{objKVM: spec}}
		if err := l.setConstants(); err != nil {
			t.Fatal(err)
		}
		var number uint32
		if err := spec.Variables["host_isa"].Get(&number); err != nil || number != map[ISA]uint32{VMX: isaVMX, SVM: isaSVM}[isa] {
			t.Errorf("%s has the number %d, %v", isa, number, err)
		}
		var table [exitCodes]uint8
		if err := spec.Variables["exit_class_of"].Get(&table); err != nil {
			t.Fatal(err)
		}
		classes := 0
		for _, class := range table {
			if class != 0 {
				classes++
			}
		}
		for _, r := range reasonsOf(isa) {
			if got := exitReasonName(isa, int(table[exitCode(isa, r.code)])); got != r.name {
				t.Errorf("%s 0x%x: %s, want %s", isa, r.code, got, r.name)
			}
		}
		var rows [userExitClasses]uint8
		if err := spec.Variables["user_exit_row_of"].Get(&rows); err != nil {
			t.Fatal(err)
		}
		for _, r := range userExitsWithRow {
			if got := userExitRowName(int(rows[r])); got != UserExitName(r) {
				t.Errorf("KVM_EXIT %d is in the row of %s", r, got)
			}
		}
		if classes != len(reasonsOf(isa)) {
			t.Errorf("%s: %d codes have a class, want %d", isa, classes, len(reasonsOf(isa)))
		}
	}
}

func TestUserExitNames(t *testing.T) {
	seen := map[string]bool{}
	for r := range userExitClasses {
		name := UserExitName(r)
		if seen[name] {
			t.Errorf("two reasons are called %s", name)
		}
		seen[name] = true
	}
	// include/uapi/linux/kvm.h
	for r, want := range map[int]string{0: "unknown", 2: "io", 5: "hlt", 6: "mmio", 8: "shutdown", 17: "internal_error", 24: "system_event", 39: "memory_fault", 63: "exit_63", -1: "exit_-1"} {
		if got := UserExitName(r); got != want {
			t.Errorf("%d: %s, want %s", r, got, want)
		}
	}
	if len(userExitNames) > userExitClasses-1 {
		t.Errorf("%d names: the last of %d classes stands for all beyond", len(userExitNames), userExitClasses)
	}
}

func TestHasVirtualisation(t *testing.T) {
	for text, want := range map[string]bool{
		"processor\t: 0\nflags\t\t: fpu vmx sse\n":           true,
		"flags\t\t: svm\n":                                   true,
		"flags\t\t: fpu sse svm\n\nprocessor: 1\n":           true,
		"flags\t\t: vmx":                                     true,
		"flags\t\t: fpu sse vmxoff xsvm\n":                   false,
		"vmx flags\t: vnmi preemption_timer\nflags\t: fpu\n": false, // another line, of Intel hosts
		"model name\t: made of vmx and svm\nflags\t: fpu\n":  false,
		"flags\t\t:\n":                                       false,
		"":                                                   false,
	} {
		if got := virtualised(flagsOf(text)); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
