// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ukprobe/ukprobe/guests/reference"
	"github.com/ukprobe/ukprobe/results"
)

// guestsVariable names a folder with programs and images of others that cannot be
// part of this project. In it, firecracker/VERSION/firecracker is a release of
// Firecracker, and beside it may be its jailer.
const guestsVariable = "UKPROBE_GUESTS"

// firecrackers are the folders with a real Firecracker.
func firecrackers(t *testing.T) []string {
	t.Helper()
	found, _ := filepath.Glob(filepath.Join(os.Getenv(guestsVariable), "firecracker", "*", "firecracker"))
	if os.Getenv(guestsVariable) == "" || len(found) == 0 {
		t.Skipf("NOT TESTED: no Firecracker: put releases of firecracker-microvm/firecracker into a folder as firecracker/VERSION/firecracker and set %s to it", guestsVariable)
	}
	for i := range found {
		found[i] = filepath.Dir(found[i])
	}
	return found
}

// withProgram has a run find a program of that folder before others.
func (c *call) withProgram(dir string) *call {
	c.cmd.Env = append(c.cmd.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
	return c
}

// apiEvents are what ukprobe notes of a VMM's API, in order, around the kernel's own.
var apiEvents = []string{"api_ready", "instance_start", "instance_started"}

// checkAPI: the API's moments are there, told apart from the kernel's, and in their
// places; an end of firmware is neither there nor missing. The sample is then made to
// look, for the checks that are for all, like one with firmware and without an API.
func checkAPI(t *testing.T, s *results.Sample) {
	t.Helper()
	checkOrder(t, *s, append([]string{results.EventVMMExec}, apiEvents...)...)
	checkOrder(t, *s, results.EventVMMExec, results.EventVMCreated, results.EventVCPUCreated, results.EventFirstRun, results.EventGuestEntry)
	checkOrder(t, *s, "instance_start", results.EventVCPUCreated) // the guest may run before the answer is read
	for _, name := range apiEvents {
		if e, _ := at(*s, name); e.Rung != "none" || e.Hook != "userspace" {
			t.Errorf("%+v: want it told apart as ukprobe's own", e)
		}
	}
	if e, there := at(*s, results.EventFirmwareEnd); there || missing(*s, results.EventFirmwareEnd) != "" {
		t.Errorf("firmware_end: %+v, %q: Firecracker has no firmware", e, missing(*s, results.EventFirmwareEnd))
	}
	s.Missing = append(slices.Clone(s.Missing), results.Missing{Name: results.EventFirmwareEnd, Reason: "no firmware"})
	s.Events = slices.DeleteFunc(slices.Clone(s.Events), func(e results.Event) bool { return slices.Contains(apiEvents, e.Name) })
}

// TestFirecracker: the reference guest on each real Firecracker that there is: its
// known answers, its network, and the moments of the API.
func TestFirecracker(t *testing.T) {
	needRoot(t)
	needKVM(t)
	task := reference.Cmdline{PIO: 1000, CPUID: 500, HLT: 20}
	m := matrix(t, "system: reference, app: hello, platform: firecracker, args: '"+task.String()+"'", "system: reference, app: http, platform: firecracker")
	for _, dir := range firecrackers(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			c := newRun(t, "--matrix", m, "--probes", "full").withProgram(dir).run().want(0)
			for _, cell := range c.file().Cells {
				s := cell.Samples[0]
				checkAPI(t, &s)
				checkOK(t, c.file(), s)
				checkOrder(t, s, results.EventGuestEntry, results.EventConsoleFirst, results.EventFrameOut)
				if s.Phases.FirmwareNs != nil {
					t.Errorf("firmware of %d ns: Firecracker has none", *s.Phases.FirmwareNs)
				}
				if cell.App == "http" {
					checkOrder(t, s, service...)
					continue
				}
				got := counts(t, s)
				if got.PIO != 1000 || got.CPUID != 500 || got.HLT != 20 || got.FramesOut != 1 {
					t.Errorf("the guest counts %+v", got)
				}
				if n := s.Values["pio_out_port_0x5f0"]; n != 1000 {
					t.Errorf("%v writes to port 0x5f0, want 1000: %v", n, s.Values)
				}
				if n := s.Values["halts"]; n != 21 { // the last one is for good
					t.Errorf("%v halts, want 21", n)
				}
			}
		})
	}
}

// bootTimers are where Firecracker's boot timer has been: a port until 0.22, memory
// until 1.12, other memory since.
var bootTimers = []int{0x3f0, 0xd0000000, 0xc0000000}

// TestFirecrackerClaims: what the guest tells the boot timer is seen wherever it is,
// and Firecracker's own line about it, from the one place where it listens, is judged
// by the host's clock. So is the guest's TSC, from its first instruction on.
func TestFirecrackerClaims(t *testing.T) {
	needRoot(t)
	needKVM(t)
	for _, dir := range firecrackers(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			said := 0
			for _, where := range bootTimers {
				m := matrix(t, "system: reference, app: hello, platform: firecracker, experiment: timing-validation, args: '"+reference.Cmdline{BootTimer: where}.String()+"'")
				cell := newRun(t, "--matrix", m).withProgram(dir).run().want(0).cell(1)
				checkOrder(t, cell.Samples[0], results.EventGuestEntry, "boot_timer", results.EventConsoleReady)
				for _, own := range claims(cell, "firecracker_boot", 0) {
					said++
					checkBootTimer(t, own)
				}
				readings := append(claims(cell, "reference_start", 0), claims(cell, "reference_ready", 0)...)
				if len(readings) != 2 {
					t.Errorf("%d readings of the TSC, want two", len(readings))
				}
				for _, own := range readings {
					checkMapped(t, own)
				}
			}
			if said != 1 {
				t.Errorf("%d lines of Firecracker about its boot timer, want one: it is at one place", said)
			}
		})
	}
}

// checkBootTimer: Firecracker counts from when it has read the request, ukprobe from
// before it sends it, so that the former is a little short.
func checkBootTimer(t *testing.T, c results.Claim) {
	t.Helper()
	if c.ClaimNS == nil || c.HostNS == nil {
		t.Errorf("%+v: want both times", c)
		return
	}
	if short := time.Duration(*c.HostNS - *c.ClaimNS); short < 0 || short > patience(50*time.Millisecond) {
		t.Errorf("its boot timer is %v short of the host's clock: %+v", short, c)
	}
}

// TestFirecrackerJailed: likewise, started by its jailer.
func TestFirecrackerJailed(t *testing.T) {
	needRoot(t)
	needKVM(t)
	tested := false
	for _, dir := range firecrackers(t) {
		jailer := filepath.Join(dir, "jailer")
		if _, err := os.Stat(jailer); err != nil {
			continue
		}
		tested = true
		t.Run(filepath.Base(dir), func(t *testing.T) {
			m := matrix(t, "system: reference, app: [hello, http], platform: firecracker")
			c := newRun(t, "--matrix", m).withProgram(dir)
			c.cmd.Env = append(c.cmd.Env, "UKPROBE_JAILER="+jailer)
			c.run().want(0)
			for _, cell := range c.file().Cells {
				s := cell.Samples[0]
				checkAPI(t, &s)
				checkOK(t, c.file(), s)
				if argv := strings.Join(cell.Argv, " "); !strings.HasPrefix(argv, jailer+" --id ") {
					t.Errorf("argv %s", argv)
				}
			}
		})
	}
	if !tested {
		t.Skipf("NOT TESTED: no jailer beside a Firecracker in %s", guestsVariable)
	}
}

// brokenVMM is what this test's binary does under the name firecracker: it plays a
// VMM that goes wrong in the way that its folder's name says. It never returns.
func brokenVMM() {
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		fmt.Println("Firecracker v1.14.2")
		os.Exit(0)
	}
	how := filepath.Base(filepath.Dir(os.Args[0]))
	if how == "never-listens" {
		time.Sleep(time.Hour)
	}
	if how == "dies-at-once" {
		fmt.Fprintln(os.Stderr, "Error: cannot open /dev/kvm")
		os.Exit(3)
	}
	l, err := net.Listen("unix", os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if how == "speaks-otherwise" {
		for {
			if c, err := l.Accept(); err == nil {
				_, _ = io.WriteString(c, "220 mail ready\r\n")
			}
		}
	}
	_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case how == "dies-between-calls" && r.URL.Path == "/boot-source":
			fmt.Fprintln(os.Stderr, "thread 'fc_api' panicked")
			os.Exit(148)
		case how == "refuses" && r.URL.Path == "/network-interfaces/eth0":
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"fault_message":"Could not create the network device: Open tap device failed: Resource busy (os error 16)"}`)
		case how == "never-answers" && r.URL.Path == "/actions":
			time.Sleep(time.Hour)
		case how == "starts-nothing" && r.URL.Path == "/actions":
			w.WriteHeader(http.StatusNoContent)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	os.Exit(1)
}

// TestBrokenFirecracker: a VMM that goes wrong fails its samples with the reason, in
// time, and the run goes on to the other cells.
func TestBrokenFirecracker(t *testing.T) {
	needRoot(t)
	needKVM(t)
	notOnTheKernel(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	timeout := patience(time.Second)
	for how, tt := range map[string]struct {
		status string
		words  []string
		events int // of the API
	}{
		"dies-at-once":       {results.SampleFailed, []string{"firecracker ended before the guest was ready (no console line matched ", "): exit status 3", "cannot open /dev/kvm"}, 0},
		"never-listens":      {results.SampleTimeout, []string{"not ready after", "the API socket", "was not there yet", "no such file"}, 0},
		"dies-between-calls": {results.SampleFailed, []string{"firecracker ended before the guest was ready (no console line matched ", "): exit status 148", "PUT /boot-source: the connection was closed without an answer", "panicked"}, 1},
		"refuses":            {results.SampleFailed, []string{"PUT /network-interfaces/eth0: 400: Could not create the network device: Open tap device failed: Resource busy"}, 1},
		"never-answers":      {results.SampleTimeout, []string{"not ready after", "PUT /actions: not answered yet"}, 2},
		"speaks-otherwise":   {results.SampleFailed, []string{"PUT /machine-config: ", "malformed HTTP"}, 1},
		"starts-nothing":     {results.SampleTimeout, []string{"not ready after", "no console line matched", "it printed nothing"}, 3},
	} {
		t.Run(how, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), how)
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(self, filepath.Join(dir, "firecracker")); err != nil {
				t.Fatal(err)
			}
			m := matrix(t, "system: reference, app: hello, platform: [firecracker, qemumicrovm], samples: 2")
			c := newRun(t, "--matrix", m, "--timeout", timeout.String()).withProgram(dir).run().want(1)
			cells := c.file().Cells
			if len(cells) != 2 {
				t.Fatalf("%d cells, want 2", len(cells))
			}
			broken := cells[0]
			if len(broken.Samples) != 2 {
				t.Errorf("%d samples of the broken one, want both", len(broken.Samples))
			}
			for _, s := range broken.Samples {
				if s.Status != tt.status {
					t.Errorf("status %s (%s), want %s", s.Status, s.Reason, tt.status)
				}
				for _, word := range tt.words {
					if !strings.Contains(s.Reason, word) {
						t.Errorf("reason %q does not say %q", s.Reason, word)
					}
				}
				for i, name := range apiEvents {
					if _, there := at(s, name); there != (i < tt.events) {
						t.Errorf("event %s: %v", name, there)
					}
				}
				checkLasted(t, s, tt.status, timeout)
			}
			for _, s := range cells[1].Samples {
				if s.Status != results.SampleOK {
					t.Errorf("the cell beside it: %s", s.Reason)
				}
			}
		})
	}
}
