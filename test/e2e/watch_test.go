// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	dto "github.com/prometheus/client_model/go"
	"golang.org/x/sys/unix"

	"github.com/ukprobe/ukprobe/guests/reference"
	"github.com/ukprobe/ukprobe/orchestrate/cgroup"
	"github.com/ukprobe/ukprobe/watch"
)

// watching starts `ukprobe watch` and waits until it is ready. The address is ""
// with --once and --top.
func watching(t *testing.T, args ...string) (c *call, address string) {
	t.Helper()
	needRoot(t)
	needKVM(t)
	c = newCall(t, append([]string{"watch", "--listen", "127.0.0.1:0"}, args...)...).start()
	c.waitFor("msg=ready", patience(20*time.Second))
	m := regexp.MustCompile(`msg="serving metrics" address=(127\.0\.0\.1:[0-9]+)`).FindStringSubmatch(c.stderr.String())
	if m == nil {
		t.Fatalf("no address:\n%s", c.output())
	}
	return c, "http://" + m[1] + "/metrics"
}

// end ends it as a service manager does.
func (c *call) end() *call {
	c.t.Helper()
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	return c.wait(patience(10 * time.Second)).want(0)
}

// once runs `ukprobe watch --once --json` while the guests run, and ends it when
// work returns.
func once(t *testing.T, args []string, work func()) watch.Report {
	t.Helper()
	// With --verbose the log says when it is ready.
	c, _ := watching(t, append([]string{"--once", "--json", "--duration", "1h", "--verbose"}, args...)...)
	work()
	c.end()
	var r watch.Report
	if err := json.Unmarshal([]byte(c.stdout.String()), &r); err != nil {
		t.Fatalf("%v\n%s", err, c.output())
	}
	return r
}

// findVM finds a guest by its pid: on a busy machine one that lives for a tenth of
// a second may have ended before ukprobe came to look at its name.
func findVM(t *testing.T, r watch.Report, g *vm) watch.VMReport {
	t.Helper()
	for _, v := range r.VMs {
		if v.PID == g.pid() {
			if v.Name != "" && v.VMM != "qemu" {
				t.Errorf("%s is not taken for QEMU: %+v", v.Name, v)
			}
			return v
		}
	}
	t.Fatalf("no VM of process %d in %+v", g.pid(), r.VMs)
	return watch.VMReport{}
}

// port is a row of the table of ports.
func port(v watch.VMReport, number int, direction string) uint64 {
	for _, p := range v.Ports {
		if p.Port == fmt.Sprintf("0x%x", number) && p.Direction == direction {
			return p.Count
		}
	}
	return 0
}

// value is the value of the series of a VM, by one more label.
func value(f *dto.MetricFamily, vm, key, val string) (float64, bool) {
	for _, m := range f.GetMetric() {
		if label(m, "vm") == vm && (key == "" || label(m, key) == val) {
			return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount()), true
		}
	}
	return 0, false
}

// TestWatchKnownAnswers: a VM that ukprobe did not start, from its first port
// access on; two at once, each with its own figures.
func TestWatchKnownAnswers(t *testing.T) {
	tasks := map[string]reference.Cmdline{
		"first":  {PIO: 1000, CPUID: 500, HLT: 20, End: reference.EndExit},
		"second": {PIO: 777, CPUID: 33, HLT: 4, End: reference.EndExit},
	}
	guests := map[string]*vm{}
	r := once(t, []string{"--all"}, func() {
		for name, task := range tasks {
			guests[name] = startReference(t, name, task)
		}
		for _, g := range guests {
			g.end()
		}
		time.Sleep(patience(200 * time.Millisecond)) // for their ends to be told
	})
	for name, task := range tasks {
		v := findVM(t, r, guests[name])
		if n := port(v, reference.PIOPort, "out"); n != uint64(task.PIO) {
			t.Errorf("%s: %d writes to its port, want %d", name, n, task.PIO)
		}
		if !v.Ended || v.Seconds <= 0 || len(v.Lost) > 0 || v.Error != "" {
			t.Errorf("%s: %+v", name, v)
		}
		if n := v.Values["halts"]; n != uint64(task.HLT) {
			t.Errorf("%s: %d halts, want %d", name, n, task.HLT)
		}
		// A HLT whose timer is through before the thread sleeps is no sleep. And the
		// guest's 10 ms begin before KVM blocks the thread; emulation makes that
		// much of it.
		if v.Halted == nil || v.Halted.Count < uint64(task.HLT)*8/10 || v.Halted.SumNS < v.Halted.Count*reference.HLTNs/2 {
			t.Errorf("%s: halted %+v, want %d of 10 ms", name, v.Halted, task.HLT)
		}
		// What firmware does comes on top of what the guest counts.
		if n, least := v.Values["pio_out"]+v.Values["pio_in"], guests[name].counts().PortIO; n < least {
			t.Errorf("%s: %d port accesses, the guest itself made %d", name, n, least)
		}
		if len(v.UserExits) == 0 || v.UserExits[0].Handling == nil {
			t.Errorf("%s: exits to the VMM %+v: want some, with durations", name, v.UserExits)
		}
		if inside() {
			checkExits(t, name, v, task)
		}
	}
}

// checkExits checks what only a KVM that virtualises shows.
func checkExits(t *testing.T, name string, v watch.VMReport, task reference.Cmdline) {
	t.Helper()
	by := map[string]watch.Row{}
	for _, row := range v.Exits {
		by[row.Reason] = row
	}
	for reason, want := range map[string]int{"cpuid": task.CPUID, "hlt": task.HLT, "io": task.PIO} {
		row := by[reason]
		if row.Count < uint64(want) || row.Handling == nil || row.InGuest == nil || row.Parts == nil {
			t.Errorf("%s: exit %s: %+v, want at least %d with times", name, reason, row, want)
		}
	}
	if io := by["io"]; io.Parts != nil && (io.Parts.VMM <= 0 || io.Parts.KVM <= 0) {
		t.Errorf("%s: the VMM and KVM have no part in io: %+v", name, io.Parts)
	}
	if hlt := by["hlt"]; hlt.Parts != nil && hlt.Parts.Halted < int64(task.HLT)*reference.HLTNs/2 {
		t.Errorf("%s: hlt was halted for %v of %d times 10 ms", name, time.Duration(hlt.Parts.Halted), task.HLT)
	}
}

// TestWatchHostileGuest: one guest writes to 20,480 ports; the other's figures are
// its own, and what was lost is the first one's loss.
func TestWatchHostileGuest(t *testing.T) {
	needNative(t, "what is bounded does not depend on the kernel")
	task := reference.Cmdline{PIO: 3000, End: reference.EndExit}
	flood := floodImage(t)
	var a, b *vm
	r := once(t, []string{"--all"}, func() {
		a, b = startVM(t, "flood", flood, ""), startReference(t, "good", task)
		b.end()
		a.end()
		time.Sleep(200 * time.Millisecond)
	})
	bad, good := findVM(t, r, a), findVM(t, r, b)
	if n, least := bad.Values["pio_out"], uint64(floodPorts*floodRounds); n < least || n > least+1000 {
		t.Errorf("the flood: %d writes were counted, want %d and a few of the firmware", n, least)
	}
	if bad.Lost["pio_ports"] == 0 || bad.Lost["pio_ports"] > floodPorts*floodRounds+1000 {
		t.Errorf("the flood: lost %v: want ports beyond its share", bad.Lost)
	}
	if n := port(good, reference.PIOPort, "out"); n != uint64(task.PIO) || len(good.Lost) > 0 {
		t.Errorf("the other: %d writes to its port, want %d; lost %v", n, task.PIO, good.Lost)
	}
	for _, p := range good.Ports {
		if n, err := strconv.ParseInt(p.Port, 0, 32); err != nil || n >= floodFirst && n < floodFirst+floodPorts {
			t.Errorf("the other has the flood's port: %+v", p)
		}
	}
}

// TestWatchRunningAlready: silent VMs are found by every filter, and by pid also
// before they are VMs.
func TestWatchRunningAlready(t *testing.T) {
	needNative(t, "how processes are found does not depend on the kernel")
	needRoot(t)
	h, err := cgroup.Find()
	if err != nil {
		t.Skip(err)
	}
	group := filepath.Join(h.Path, fmt.Sprintf("ukprobe-e2e-%d", os.Getpid()))
	if err := os.MkdirAll(filepath.Join(group, "vm"), 0o755); err != nil {
		t.Fatal(err)
	}
	image, err := referenceImage()
	if err != nil {
		t.Fatal(err)
	}
	grouped := newVM(t, "grouped", image, "")
	dir, err := os.Open(filepath.Join(group, "vm"))
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	grouped.cmd.SysProcAttr.UseCgroupFD, grouped.cmd.SysProcAttr.CgroupFD = true, int(dir.Fd())
	grouped.start()
	t.Cleanup(func() {
		grouped.kill()
		if err := errors.Join(os.Remove(filepath.Join(group, "vm")), os.Remove(group)); err != nil {
			t.Error(err)
		}
	})
	named, other := startReference(t, "web-1", reference.Cmdline{}), startReference(t, "", reference.Cmdline{})
	grouped.ready()
	named.ready()
	other.ready()
	later := exec.Command("sh", "-c", "read x; exec \"$@\"", "sh")
	later.Args = append(later.Args, other.cmd.Args...)
	later.Args[4] = other.cmd.Path
	stdin, err := later.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := later.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = later.Process.Kill(); _ = later.Wait() })

	c, address := watching(t, "--cgroup", group, "--name", "^web-", "--pid", itoa(later.Process.Pid))
	c.waitFor("the process has no VM yet: waiting for it", patience(time.Second))
	want := func(names ...string) {
		t.Helper()
		c.waitUntil(fmt.Sprintf("exactly %v are watched", names), patience(10*time.Second), func() bool {
			f := scrape(t, address, asText)["ukprobe_vm_up"]
			for _, n := range names {
				if up, ok := value(f, n, "", ""); !ok || up != 1 {
					return false
				}
			}
			return len(f.GetMetric()) == len(names)
		})
	}
	want("grouped", "web-1")
	fmt.Fprintln(stdin)
	want("grouped", "web-1", "qemu-"+itoa(later.Process.Pid))
	c.end()
}

// TestWatchManyVMs: 200 VMs come and go; nothing of them stays, and the memory
// that ukprobe takes does not grow with them.
func TestWatchManyVMs(t *testing.T) {
	needNative(t, "emulation would take half an hour")
	c, address := watching(t, "--all", "--keep", "1s", "--max-vms", "8")
	task := reference.Cmdline{PIO: 100, HLT: 1, End: reference.EndExit}
	batch := func(n int) {
		for range n / 2 {
			a, b := startReference(t, "many-vms", task), startReference(t, "many-vms", task)
			a.end()
			b.end()
		}
	}
	// Other VMs of the host, of other tests, do not matter.
	mine := func(m map[string]*dto.MetricFamily) bool {
		for _, f := range m {
			for _, series := range f.GetMetric() {
				if name := label(series, "vm"); strings.HasPrefix(name, "many-vms") || strings.HasPrefix(name, "unknown") {
					return true
				}
			}
		}
		return false
	}
	state := func() map[string]float64 {
		var out map[string]float64
		c.waitUntil("no series of a VM is left", patience(10*time.Second), func() bool {
			m := scrape(t, address, asText)
			out = map[string]float64{}
			for _, name := range []string{"process_resident_memory_bytes", "process_open_fds", "go_goroutines", "go_memstats_heap_inuse_bytes", "ukprobe_vms_watched_total", "ukprobe_vms_not_watched_total", "ukprobe_vm_read_errors_total"} {
				out[name] = m[name].GetMetric()[0].GetCounter().GetValue() + m[name].GetMetric()[0].GetGauge().GetValue()
			}
			return !mine(m)
		})
		return out
	}
	batch(40)
	before := state()
	batch(160)
	after := state()
	t.Logf("after 40 VMs: %v", before)
	t.Logf("after 200 VMs: %v", after)
	if after["ukprobe_vms_watched_total"]+after["ukprobe_vms_not_watched_total"] < 200 || after["ukprobe_vms_watched_total"] < 195 {
		t.Errorf("not all VMs were seen: %v", after)
	}
	if after["ukprobe_vm_read_errors_total"] != 0 {
		t.Errorf("VMs could not be read: %v", after)
	}
	for name, more := range map[string]float64{"process_resident_memory_bytes": 8 << 20, "go_memstats_heap_inuse_bytes": 8 << 20, "process_open_fds": 2, "go_goroutines": 3} {
		if after[name] > before[name]+more {
			t.Errorf("%s grew from %v to %v", name, before[name], after[name])
		}
	}
	c.end()
}

// TestWatchLimit: VMs beyond the limit are counted, and taken up when there is
// room.
func TestWatchLimit(t *testing.T) {
	needNative(t, "the limit does not depend on the kernel")
	c, address := watching(t, "--all", "--keep", "0s", "--max-vms", "1")
	first := startReference(t, "first", reference.Cmdline{}).ready()
	// It goes on working: a VM that is silent does not show itself again.
	second := startReference(t, "second", reference.Cmdline{HLT: 1 << 20})
	c.waitUntil("the second is counted as not watched", patience(10*time.Second), func() bool {
		return scrape(t, address, asText)["ukprobe_vms_not_watched_total"].GetMetric()[0].GetCounter().GetValue() >= 1
	})
	if _, ok := value(scrape(t, address, asText)["ukprobe_vm_up"], "second", "", ""); ok {
		t.Error("two VMs are watched, the limit is one")
	}
	first.kill()
	c.waitUntil("the second is taken up", patience(10*time.Second), func() bool {
		up, ok := value(scrape(t, address, asText)["ukprobe_vm_up"], "second", "", "")
		return ok && up == 1
	})
	second.kill()
	c.end()
}

// mapsNeedBPF says whether this kernel lets nobody read a map without CAP_BPF:
// before Linux 5.19, where unprivileged BPF is off (docs/watch.md).
func mapsNeedBPF(t *testing.T) bool {
	t.Helper()
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		t.Fatal(err)
	}
	var major, minor int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	return major < 5 || major == 5 && minor < 19
}

// TestWatchPrivileges: after attaching no thread may anything any more, and yet
// new VMs are found and counted.
func TestWatchPrivileges(t *testing.T) {
	for user, uid := range map[string]string{"": "0", "nobody": "65534"} {
		t.Run("as "+user, func(t *testing.T) {
			args := []string{"--all"}
			if user != "" {
				args = append(args, "--user", user)
			}
			c, address := watching(t, args...)
			c.waitFor(`msg="privileges given up"`, time.Second)
			none := strings.Repeat("0", 16)
			kept := none
			if mapsNeedBPF(t) {
				kept = fmt.Sprintf("%016x", 1<<unix.CAP_BPF)
			}
			want := map[string]string{"CapPrm": kept, "CapEff": kept, "CapAmb": none, "NoNewPrivs": "1", "Uid": strings.Join([]string{uid, uid, uid, uid}, "\t")}
			tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", c.cmd.Process.Pid))
			if err != nil || len(tasks) < 2 {
				t.Fatalf("threads %v, %v", tasks, err)
			}
			for _, task := range tasks {
				text, err := os.ReadFile(task)
				if err != nil {
					continue // a thread that has ended
				}
				for line := range strings.Lines(string(text)) {
					key, v, _ := strings.Cut(strings.TrimSpace(line), ":\t")
					if w, ok := want[key]; ok && v != w {
						t.Errorf("%s: %s is %q, want %q", task, key, v, w)
					}
				}
			}
			g := startReference(t, "later", reference.Cmdline{PIO: 50}).ready()
			c.waitUntil("the VM is counted", patience(5*time.Second), func() bool {
				m := scrape(t, address, asText)
				n, ok := value(m["ukprobe_guest_port_accesses_total"], "later", "direction", "out")
				return ok && n >= 50 && m["process_open_fds"] != nil
			})
			g.kill()
			c.end()
		})
	}
}

// TestWatchNetwork: the tap of a VM in a namespace of its own is found, and its
// frames and answers are counted; what is not needed for that is given up.
func TestWatchNetwork(t *testing.T) {
	notOnTheKernel(t) // tcx takes Linux 6.6
	needRoot(t)
	ip := needProgram(t, "ip", "iproute2")
	ns := fmt.Sprintf("ukprobe-e2e-%d", os.Getpid())
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(ip, args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %v: %v: %s", args, err, out)
		}
	}
	run("netns", "add", ns)
	t.Cleanup(func() { _ = exec.Command(ip, "netns", "delete", ns).Run() })
	run("-n", ns, "tuntap", "add", "tap7", "mode", "tap")
	run("-n", ns, "addr", "add", "10.77.0.1/24", "dev", "tap7")
	run("-n", ns, "link", "set", "tap7", "up")

	c, address := watching(t, "--name", "^netted", "--network", "--verbose")
	c.waitFor("capabilities=cap_dac_read_search,cap_net_admin,cap_sys_ptrace,cap_sys_admin,cap_bpf\n", time.Second)
	image, err := referenceImage()
	if err != nil {
		t.Fatal(err)
	}
	guest := newVM(t, "netted", image, reference.Cmdline{IP: netip.MustParsePrefix("10.77.0.2/24")}.String())
	guest.cmd.Args = append([]string{ip, "netns", "exec", ns, guest.cmd.Path}, append(guest.cmd.Args[1:],
		"-netdev", "tap,id=n,ifname=tap7,script=no,downscript=no", "-device", "virtio-net-device,netdev=n")...)
	guest.cmd.Path = ip
	guest.start()
	guest.ready()
	c.waitFor("device=tap7", patience(5*time.Second))
	for range 3 {
		out, err := exec.Command(ip, "netns", "exec", ns, "bash", "-c", "exec 3<>/dev/tcp/10.77.0.2/7; echo x >&3; head -n 1 <&3").CombinedOutput()
		if err != nil || string(out) != reference.Body {
			t.Fatalf("the guest answers %q, %v", out, err)
		}
	}
	c.waitUntil("three connections are counted", patience(5*time.Second), func() bool {
		m := scrape(t, address, asText)
		n := 0.0
		for _, series := range m["ukprobe_network_response_seconds"].GetMetric() {
			if label(series, "vm") == "netted" && label(series, "kind") == "tcp_connect" && label(series, "side") == "guest" {
				n = float64(series.GetHistogram().GetSampleCount())
			}
		}
		frames, _ := value(m["ukprobe_guest_network_frames_total"], "netted", "direction", "out")
		return n == 3 && frames >= 9
	})
	guest.kill()
	c.end()
}

// programsOf are the BPF programs and links that a process holds.
func programsOf(t *testing.T, pid int) (ids []ebpf.ProgramID) {
	t.Helper()
	infos, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range infos {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if v, ok := strings.CutPrefix(line, "prog_id:\t"); ok {
				n, err := strconv.ParseUint(strings.TrimSpace(v), 10, 32)
				if err != nil {
					t.Fatal(err)
				}
				ids = append(ids, ebpf.ProgramID(n))
			}
		}
	}
	return ids
}

// TestWatchKilled: SIGKILL leaves nothing attached.
func TestWatchKilled(t *testing.T) {
	c, _ := watching(t, "--all")
	ids := programsOf(t, c.cmd.Process.Pid)
	if len(ids) < 5 {
		t.Fatalf("it holds only the programs %v", ids)
	}
	c.kill()
	left := eventually(func() string {
		var still []string
		for _, id := range ids {
			p, err := ebpf.NewProgramFromID(id)
			if err == nil {
				still = append(still, fmt.Sprint(id))
				_ = p.Close()
			}
		}
		return strings.Join(still, " ")
	})
	if left != "" {
		t.Errorf("programs are still loaded: %s", left)
	}
}

// TestWatchBesideOthers: two watches and a run see the same guest, each for
// itself.
func TestWatchBesideOthers(t *testing.T) {
	notOnTheKernel(t)
	a, addressA := watching(t, "--all")
	b, addressB := watching(t, "--name", "beside")
	task := reference.Cmdline{PIO: 400}
	g := startReference(t, "beside", task).ready()
	m := matrix(t, "system: reference, app: hello, platform: qemumicrovm, accel: kvm, args: 'pio=123'")
	sample := newRun(t, "--matrix", m).run().want(0).cell(1).Samples[0]
	if n := sample.Values["pio_out_port_0x5f0"]; n != 123 {
		t.Errorf("the run counted %v writes to the port, want 123", n)
	}
	for _, address := range []string{addressA, addressB} {
		var n float64
		metrics := scrape(t, address, asText)
		n, _ = value(metrics["ukprobe_guest_port_accesses_total"], "beside", "direction", "out")
		if own := g.counts(); n < float64(own.PIO) || n < 400 {
			t.Errorf("%s counted %v port writes of the guest, want at least 400", address, n)
		}
	}
	g.kill()
	a.end()
	b.end()
}

// TestWatchService: what a service manager hears.
func TestWatchService(t *testing.T) {
	notOnTheKernel(t)
	needRoot(t)
	needKVM(t)
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	heard := make(chan string, 1000)
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := l.Read(buf)
			if err != nil {
				return
			}
			heard <- string(buf[:n])
		}
	}()
	wait := func(want string) {
		t.Helper()
		limit := time.After(patience(20 * time.Second))
		for {
			select {
			case text := <-heard:
				if strings.Contains(text, want) {
					return
				}
			case <-limit:
				t.Fatalf("never heard %s", want)
			}
		}
	}
	// With no more than the unit gives it.
	unit, err := os.ReadFile("../../packaging/ukprobe-watch.service")
	if err != nil {
		t.Fatal(err)
	}
	caps := regexp.MustCompile(`(?m)^CapabilityBoundingSet=(.*)$`).FindStringSubmatch(string(unit))
	if caps == nil {
		t.Fatal("the unit has no CapabilityBoundingSet=")
	}
	bounding := "-all"
	for _, name := range strings.Fields(caps[1]) {
		bounding += ",+" + strings.ToLower(strings.TrimPrefix(name, "CAP_"))
	}
	had, err := capabilitiesOf("/proc/self/status") // setpriv refuses what is not there
	if err != nil {
		t.Fatal(err)
	}
	if had&(1<<unix.CAP_SYS_RESOURCE) == 0 {
		bounding = strings.Replace(bounding, ",+sys_resource", "", 1)
	}
	c := newCall(t, "watch", "--all", "--listen", "127.0.0.1:0").under("setpriv", "--bounding-set="+bounding, "--no-new-privs")
	c.cmd.Env = append(c.cmd.Env, "NOTIFY_SOCKET="+path, "WATCHDOG_USEC=2000000", "WATCHDOG_PID=", "JOURNAL_STREAM=8:1")
	c.start()
	wait("READY=1\nSTATUS=watching ")
	if strings.Contains(c.stderr.String(), "time=") {
		t.Errorf("the journal has the time itself:\n%s", c.stderr.String())
	}
	wait("WATCHDOG=1")
	wait("WATCHDOG=1")
	_ = c.cmd.Process.Signal(syscall.SIGINT)
	wait("STOPPING=1")
	c.wait(patience(10 * time.Second)).want(0)
}

// capabilitiesOf reads a process's bounding set.
func capabilitiesOf(status string) (uint64, error) {
	text, err := os.ReadFile(status)
	if err != nil {
		return 0, err
	}
	m := regexp.MustCompile(`CapBnd:\s*([0-9a-f]+)`).FindSubmatch(text)
	if m == nil {
		return 0, errors.New("no CapBnd: in " + status)
	}
	return strconv.ParseUint(string(m[1]), 16, 64)
}

// TestWatchTables: --top into a pipe, and --once for a person.
func TestWatchTables(t *testing.T) {
	notOnTheKernel(t)
	g := startReference(t, "shown", reference.Cmdline{PIO: 100, HLT: 1 << 20})
	c := newCall(t, "watch", "--pid", itoa(g.pid()), "--top", "--interval", "200ms").start()
	c.waitUntil("two tables", patience(10*time.Second), func() bool { return strings.Count(c.stdout.String(), "shown: qemu") >= 2 })
	c.end()
	if strings.Contains(c.stdout.String(), "\x1b") {
		t.Errorf("escape sequences in a pipe:\n%q", c.stdout.String())
	}
	c = newCall(t, "watch", "--pid", itoa(g.pid()), "--once", "--duration", "500ms").run().want(0)
	for _, want := range []string{"1 VM in 0.", "shown: qemu, pid " + itoa(g.pid()), "halted", "HALTED"} {
		if !strings.Contains(c.stdout.String(), want) {
			t.Errorf("no %q in\n%s", want, c.output())
		}
	}
	// When the process has ended there is nothing more to come.
	c = newCall(t, "watch", "--pid", itoa(g.pid()), "--keep", "0s", "--listen", "127.0.0.1:0").start()
	c.waitFor("msg=ready", patience(10*time.Second))
	g.kill()
	c.wait(patience(10 * time.Second)).want(0).says("every process that was to be watched has ended")
}

func TestWatchBadInput(t *testing.T) {
	notOnTheKernel(t)
	for want, args := range map[string][]string{
		"which VMs?": {},
		"--pid 4194305: there is no such process":         {"--pid", "4194305"},
		"--once and --top exclude each other":             {"--all", "--once", "--top"},
		"--json: needs --once":                            {"--all", "--json"},
		"--duration 1ns: must be 10ms to 24h":             {"--all", "--once", "--duration", "1ns"},
		"--interval 1ms: must be 100ms to 1h":             {"--all", "--top", "--interval", "1ms"},
		"--keep -1s: must be 0 to 24h":                    {"--all", "--keep", "-1s"},
		"--sort size: use exits, vmm, time or name":       {"--all", "--sort", "size"},
		"--schema 6: must be 0 to 5":                      {"--all", "--schema", "6"},
		"--max-vms 0: must be at least 1":                 {"--all", "--max-vms", "0"},
		"--max-vms 5000: must be 1 to 1024":               {"--all", "--max-vms", "5000"},
		"--memory 10 MiB: too little":                     {"--all", "--memory", "10M"},
		"--user nobody-at-all":                            {"--all", "--user", "nobody-at-all"},
		"--user and --keep-privileges exclude each other": {"--all", "--user", "nobody", "--keep-privileges"},
		"--web-config: needs --listen ADDR":               {"--all", "--listen", "", "--web-config", "x"},
		"--web-config /no/such: ":                         {"--all", "--web-config", "/no/such"},
		"--listen 9435":                                   {"--all", "--listen", "9435"},
		"takes no argument":                               {"--all", "4711"},
	} {
		newCall(t, append([]string{"watch"}, args...)...).run().want(2).says(want)
	}
	needRoot(t)
	newCall(t, "watch", "--all", "--listen", "").asNobody().run().want(exitFailed).says("root")
}
