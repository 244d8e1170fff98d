// SPDX-License-Identifier: Apache-2.0

package claim

import "regexp"

// Builtin are the names of the built-in claims: no pattern of a matrix has one.
func Builtin() []string {
	var out []string
	for _, p := range builtin {
		out = append(out, p.Name)
	}
	return out
}

// Names of built-in claims that others refer to.
const (
	ReferenceStart = "reference_start"
	ReferenceReady = "reference_ready"
	Printk         = "linux_printk"
	Unikraft       = "unikraft_print"
)

// BootTimer is the event of a guest's write to Firecracker's boot timer.
const BootTimer = "boot_timer"

// Events of a timeline that claims refer to, as probe names them.
const (
	vmmExec     = "vmm_exec"
	started     = "instance_start" // package platform's
	guestEntry  = "guest_entry"
	optionROM   = "option_rom"
	firmwareEnd = "firmware_end"
	decompress  = "decompress"
	kernel      = "kernel"
)

// builtin are the formats that guests and VMMs are known to print. Each is quoted
// from its source.
var builtin = []Pattern{
	// Our own: guests/reference/src/main.c.
	{Name: ReferenceStart, Kind: TSC, Unit: UnitTSC, Moment: firmwareEnd,
		Regex: regexp.MustCompile(`^ukprobe-reference: start tsc=(?P<value>[0-9]+)$`)},
	{Name: ReferenceReady, Kind: TSC, Unit: UnitTSC,
		Regex: regexp.MustCompile(`^ukprobe-reference: ready tsc=(?P<value>[0-9]+)$`)},

	// Unikraft: unikraft/unikraft lib/ukdebug/print.c, _print_timestamp (later
	// lib/ukprint): "[%5" __PRInsec ".%06" __PRInsec "] " of ukplat_monotonic_clock,
	// then the level: "dbg:  ", "CRIT: ", "ERR:  ", "Warn: ", "Info: ".
	{Name: Unikraft, Kind: Stamp, Unit: "s", Since: GuestClock,
		Regex: regexp.MustCompile(`^\[ *(?P<value>[0-9]{1,10}\.[0-9]{6})\] (?:dbg|CRIT|ERR|Warn|Info): `)},

	// Linux: torvalds/linux kernel/printk/printk.c, print_time: "[%5lu.%06lu]",
	// with CONFIG_PRINTK_CALLER "[%*s]" behind it, then a blank.
	{Name: Printk, Kind: Stamp, Unit: "s", Since: GuestClock,
		Regex: regexp.MustCompile(`^\[ *(?P<value>[0-9]{1,10}\.[0-9]{6})\](?:\[ *[TC][0-9]+\])? (?:$|[^ ]| +[^ ])`)},

	// OSv: cloudius-systems/osv core/chart.cc, print_total_time: "Booted up in
	// %.2f ms", last stamp less the first; the first is the TSC at OSv's own
	// start (arch/x64/arch-setup.cc, osv_multiboot_info.tsc_init). Of its clocks only
	// KVM's and Xen's turn ticks into time; others leave clock.hh's
	// processor_to_nano, which is zero.
	{Name: "osv_boot", Kind: Duration, Unit: "ms", Since: GuestClock,
		NotZero: "OSv had no clock that turns ticks into time (KVM's or Xen's), and then prints zero",
		Regex:   regexp.MustCompile(`^Booted up in (?P<value>[0-9]{1,10}\.[0-9]{2}) ms$`)},

	// HermitCore and HermiTux: ssrg-vt/hermitux-kernel kernel/main.c, initd:
	// LOG_INFO("Boot time: %d ms\n", (get_clock_tick() * 1000) / TIMER_FREQ). It
	// counts ticks of a timer: at its 100 Hz a step is 10 ms whatever is printed.
	// Hermit in Rust (hermit-os/kernel src/logging.rs) prints no times.
	{Name: "hermit_boot", Kind: Duration, Unit: "ms", Since: GuestClock, ResolutionNS: 10e6,
		Regex: regexp.MustCompile(`(?:^|\] )Boot time: (?P<value>[0-9]{1,10}) ms$`)},

	// Firecracker: firecracker-microvm/firecracker src/vmm/src/devices/pseudo/
	// boot_timer.rs: "Guest-boot-time = {:>6} us {} ms, {:>6} CPU us {} CPU ms",
	// to the guest's write, from when the VMM was told to start the guest: with its
	// API that is long after its exec, from which a boot is counted.
	{Name: "firecracker_boot", Kind: Duration, Unit: "us", Since: started, Until: BootTimer,
		Regex: regexp.MustCompile(`Guest-boot-time = +(?P<value>[0-9]{1,15}) us [0-9]+ ms`)},
	{Name: "firecracker_boot_cpu", Kind: Duration, Unit: "us", Since: started, Until: BootTimer,
		CannotTell: "it is CPU time of the VMM, which no event tells",
		Regex:      regexp.MustCompile(`Guest-boot-time = .* (?P<value>[0-9]{1,15}) CPU us`)},
}
