// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"math"
	"time"

	"github.com/ukprobe/ukprobe/results"
)

// hostile is what a guest may print, or be named.
const hostile = "</script><script>alert(1)</script><img src=x onerror=alert(2)> \"quoted\" 'single' \x00\x1b[31mred\x1b[0m\u202egnp.exe | pipe ]]> --> {{.}} `code` [link](http://example.invalid) & &amp;"

// everything is a run with something for each table and figure. Its figures are made up,
// but always the same.
func everything() *results.File {
	f := &results.File{Format: results.Format, FormatVersion: results.FormatVersion,
		Run:  results.Run{ID: "20260102-030405-abcd", Version: "1.2.3", Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Seed: 42, Argv: []string{"ukprobe", "run", "--matrix", "full"}, Status: results.RunOK},
		Host: results.Host{Kernel: "6.12.9", CPUModel: "A Processor 9000", CPUs: 8, Accelerators: []string{"kvm", "tcg"}, Governor: "performance", SMT: "off", IsolatedCPUs: "2-5", Versions: map[string]string{"qemu-system-x86_64": "QEMU emulator version 9.9"}, Rungs: map[string]results.Rung{"kvm_exit": {Rung: "kprobe", Reason: "fentry: " + hostile}, "kvm_entry": {Rung: "fentry"}}, KVMParameters: map[string]string{"kvm.halt_poll_ns": "200000"}},
	}
	for i, system := range []string{"mirageos", "osv", "unikraft", "lupine", "linux"} {
		f.Cells = append(f.Cells, sizeCell(system, "nginx", i), bootCell(system, "nginx", "firecracker", i), bootCell(system, "nginx", "qemu1nic", i+2))
	}
	unsupported := results.Cell{System: "hermitux", App: "nginx", Platform: "qemu", Experiment: "boot", Status: results.CellUnsupported, Reason: "HermiTux has no nginx " + hostile}
	noImage := results.Cell{System: "rump", App: "nginx", Platform: "qemu1nic", Experiment: "boot", Status: results.CellNoImage, Reason: "nobody has given an image"}
	failed := bootCell("osv", "hello", "qemumicrovm", 3)
	failed.Status, failed.Reason = results.CellFailed, "KVM internal error: "+hostile
	for i := range failed.Samples {
		failed.Samples[i] = results.Sample{Status: results.SampleFailed, Reason: hostile, Stderr: "qemu: " + hostile + "\nlast words", Console: []results.ConsoleLine{{Text: hostile}, {Text: "panic"}}}
	}
	slow := bootCell("osv", "hello", "qemu", 4)
	slow.Settings = &results.Settings{Samples: 12, TimeoutNs: 30e9, Image: hostile}
	slow.Samples[3] = results.Sample{Status: results.SampleTimeout, Reason: "not ready"}
	slow.Samples[5].Disturbed, slow.Samples[6].RepeatOf = true, 6
	docker := bootCell("docker", "nginx", "docker", 1)
	docker.Accel = "none"
	f.Cells = append(f.Cells, unsupported, noImage, failed, slow, docker, claimsFile().Cells[0])
	f.Cells = append(f.Cells, shapedCell("unikraft", "qemu", true), shapedCell("osv", "qemumicrovm", false))
	for i, app := range []string{"nginx", "redis"} {
		for j, system := range []string{"unikraft", "lupine", "linux", "osv"} {
			f.Cells = append(f.Cells, throughputCell(system, app, i+j), memoryCell(system, app, i+j))
		}
	}
	f.Cells = append(f.Cells, densityCell("lupine", "nginx"))
	for i := range f.Cells {
		f.Cells[i].Summary = f.Cells[i].Summarize()
	}
	return f
}

func imageOf(system, app string) *results.Image {
	return &results.Image{Path: "/images/" + system, Key: system + app, Name: system + "-" + app, Version: "1.25", Built: map[string]string{"allocator": "mimalloc", "optimisations": "LTO"}}
}

func sizeCell(system, app string, i int) results.Cell {
	mib := float64(1 << 20)
	v := map[string]float64{"file_bytes": mib * math.Pow(3, float64(i)), "unpacked_bytes": mib * 2 * math.Pow(3, float64(i)), "app_bytes": mib, "libraries_bytes": 0, "compressed_bytes": mib}
	return results.Cell{System: system, App: app, Platform: "qemu1nic", Experiment: imageSize, Accel: "none", Status: results.CellOK, Image: imageOf(system, app),
		Samples: []results.Sample{{Status: results.SampleOK, Values: v, Facts: map[string]string{"app_stripped": "yes", "optimisations": hostile}}}}
}

func bootCell(system, app, platform string, i int) results.Cell {
	c := results.Cell{System: system, App: app, Platform: platform, Experiment: "boot", Accel: "kvm", Status: results.CellOK, Image: imageOf(system, app), Firmware: "seabios"}
	for n := range int64(12) {
		wave := 1 + n*7%12
		s := boot(9_000+wave*130, 5_000+100*wave, 20_000*int64(i+1)+wave*wave*90)
		if n%4 == 1 {
			s.Taints = []string{"steal", "foreign task " + hostile + " ran 1ms (5 %) on cpu 1"}
		}
		s.Values = map[string]float64{"kvm_exits_io": float64(1000 + 10*n), "kvm_exits_npf": 4000 / float64(i+1), "kvm_exits_hlt": 20, "kvm_exits_cpuid": 90, "kvm_exits_msr": 300, "kvm_exits_interrupt": 7, "kvm_exits_vmmcall": 3, "kvm_exits_cr_write": 40, "kvm_exits_" + hostile: 11}
		c.Samples = append(c.Samples, s)
	}
	return c
}

// shapedCell has two modes, or drifts; and outliers in any case, one of them tainted.
func shapedCell(system, platform string, modes bool) results.Cell {
	c := results.Cell{System: system, App: "redis", Platform: platform, Experiment: "boot", Accel: "kvm", Status: results.CellOK}
	for n := range int64(30) {
		guest := 20_000 + n*7%30*36
		switch {
		case modes && n%3 == 0:
			guest += 20_000
		case !modes:
			guest += n * 150
		}
		if n == 17 || n == 22 {
			guest += 1_700 * (n - 16)
		}
		s := boot(9_000, 5_000, guest)
		if n == 22 {
			s.Taints = []string{"steal"}
		}
		c.Samples = append(c.Samples, s)
	}
	return c
}

func throughputCell(system, app string, i int) results.Cell {
	c := results.Cell{System: system, App: app, Platform: "qemu1nic", Experiment: "throughput", Accel: "kvm", Probes: results.ProbesFull, Status: results.CellOK, Image: imageOf(system, app)}
	for n := range 6 {
		c.Samples = append(c.Samples, results.Sample{Status: results.SampleOK, Values: map[string]float64{
			"requests_per_second": 90_000/float64(i+2) + float64(100*n), "exits_per_request": 1 + float64(i)*0.7 + float64(n)*0.01, "latency_p50_ns": 3e5, "latency_p99_ns": 2e6, "errors": 0, "cpu_per_request_ns": 2e4}})
	}
	return c
}

func memoryCell(system, app string, i int) results.Cell {
	c := results.Cell{System: system, App: app, Platform: "qemu1nic", Experiment: "memory-use", Accel: "kvm", Status: results.CellOK}
	for n := range 3 {
		s := results.Sample{Status: results.SampleOK, Curves: map[string][]results.Point{}, Values: map[string]float64{"guest_ready_bytes": float64(20<<20 + i<<20 + n<<12), "vmm_ready_bytes": 9 << 20, "pss_ready_bytes": 40 << 20}}
		s.Events = []results.Event{{Name: results.EventVMMExec, NS: 1e9}}
		for at := range 300 {
			t := int64(1e9) + int64(at)*2e7
			s.Curves["guest_bytes"] = append(s.Curves["guest_bytes"], results.Point{NS: t, Value: float64(20<<20+i<<20) + 1e4*math.Sqrt(float64(at*(n+1)))})
			s.Curves["vmm_bytes"] = append(s.Curves["vmm_bytes"], results.Point{NS: t, Value: 9 << 20})
		}
		c.Samples = append(c.Samples, s)
	}
	return c
}

func densityCell(system, app string) results.Cell {
	c := results.Cell{System: system, App: app, Platform: "qemu1nic", Experiment: "density", Accel: "kvm", Status: results.CellOK, Settings: &results.Settings{Density: &results.Density{RAMMiB: 1024}}}
	s := results.Sample{Status: results.SampleOK, Values: map[string]float64{"instances": 20, "memory_per_instance_bytes": 50 << 20}, Curves: map[string][]results.Point{}}
	for n := range 20 {
		s.Curves["memory_bytes"] = append(s.Curves["memory_bytes"], results.Point{NS: int64(n) * 1e9, Value: float64((n + 1) * 50 << 20)})
	}
	c.Samples = []results.Sample{s, {Status: results.SampleFailed, Reason: fmt.Sprintf("%q", hostile)}}
	return c
}
