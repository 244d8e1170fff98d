// SPDX-License-Identifier: Apache-2.0

package results

import (
	"math"
	"time"
)

const (
	// Format is the value of run.json's "format".
	Format = "ukprobe-run"
	// FormatVersion is the newest version of the format this package writes and reads.
	FormatVersion = 1
)

// Statuses of a run. A run.json that still says RunRunning belongs to a run
// that is under way or was killed.
const (
	RunRunning     = "running"
	RunOK          = "ok"
	RunFailed      = "failed"
	RunInterrupted = "interrupted"
)

// RunKilled is what a run is told to be that is stored as running and that nobody writes
// any more. It never is stored: nobody was there to do so.
const RunKilled = "killed"

// Statuses of a cell.
const (
	CellOK          = "ok"
	CellFailed      = "failed"
	CellUnsupported = "unsupported"
	CellSkipped     = "skipped"
	CellNoImage     = "no-image" // nobody has given an image for it
)

// Statuses of a sample. Only ok samples enter the summary; that of total_ns counts
// those that timed out as well.
const (
	SampleOK          = "ok"
	SampleFailed      = "failed"
	SampleTimeout     = "timeout"
	SampleInterrupted = "interrupted"
)

// How much was attached to the kernel for a cell's samples. Figures from different
// levels do not compare.
const (
	ProbesBoot = "boot"
	ProbesFull = "full"
	ProbesNone = "none"
)

// The events of a boot sample.
const (
	EventVMMExec       = "vmm_exec"
	EventVMCreated     = "vm_created"
	EventVCPUCreated   = "vcpu_created"
	EventFirstRun      = "first_run"
	EventGuestEntry    = "guest_entry"
	EventOptionROM     = "option_rom"
	EventFirmwareEnd   = "firmware_end"
	EventDecompress    = "decompress"
	EventKernel        = "kernel"
	EventConsoleFirst  = "console_first"
	EventConsoleReady  = "console_ready"
	EventFrameOut      = "frame_out"
	EventSynAck        = "syn_ack"
	EventFirstResponse = "first_response"
	EventIdle          = "idle"
	EventVMMExit       = "vmm_exit"
)

// The events of a container's start, of which vmm_exec is the app's own exec.
const (
	EventCreateSent    = "create_sent"
	EventCreated       = "created"
	EventStartSent     = "start_sent"
	EventRuntimeExec   = "runtime_exec"
	EventContainerMade = "container_made"
	EventStarted       = "started"
)

// EventOrder is the order in which the events of a boot sample are expected. A
// guest may have no option ROM, decompressor or kernel, be no container, and its VMM
// may have no firmware: those of [EventOfSome] are then neither there nor missing.
var EventOrder = []string{
	EventCreateSent, EventCreated, EventStartSent, EventRuntimeExec, EventContainerMade,
	EventVMMExec, EventVMCreated, EventVCPUCreated, EventFirstRun, EventGuestEntry,
	EventOptionROM, EventFirmwareEnd, EventDecompress, EventKernel, EventConsoleFirst, EventConsoleReady, EventFrameOut,
	EventSynAck, EventFirstResponse, EventIdle, EventVMMExit,
}

// EventOfSome are the events of guests that have what they are about.
var EventOfSome = []string{
	EventCreateSent, EventCreated, EventStartSent, EventRuntimeExec, EventContainerMade,
	EventOptionROM, EventFirmwareEnd, EventDecompress, EventKernel,
}

// File is the content of run.json.
type File struct {
	Format        string `json:"format"`
	FormatVersion int    `json:"format_version"`
	Run           Run    `json:"run"`
	Host          Host   `json:"host"`
	Cells         []Cell `json:"cells"`
}

// Run says which run this was.
type Run struct {
	ID       string     `json:"id"`
	Version  string     `json:"version"`            // of ukprobe
	Started  time.Time  `json:"started"`            // wall clock
	Finished *time.Time `json:"finished,omitempty"` // absent while running, or when killed
	Seed     uint64     `json:"seed"`               // of the order of the samples
	Argv     []string   `json:"argv"`
	Status   string     `json:"status"`
	// Asked is what the run was asked for; absent in files from before it was kept.
	Asked *Asked `json:"asked,omitempty"`
	// Parts are those of a run that was resumed, the first one too; else there are none.
	Parts []Part `json:"parts,omitempty"`
}

// Asked is what a run was asked for: all that it takes to go on with it. What is empty
// was not given.
type Asked struct {
	Matrix     string   `json:"matrix"` // the file's path, or "built-in NAME"
	MatrixText string   `json:"matrix_text"`
	Dir        string   `json:"dir"` // that paths of set are relative to
	Only       []string `json:"only,omitempty"`
	Set        []string `json:"set,omitempty"`
	Samples    int      `json:"samples,omitempty"`
	Warmup     *int     `json:"warmup,omitempty"`
	TimeoutNs  int64    `json:"timeout_ns,omitempty"`
	Accel      string   `json:"accel,omitempty"`
	Probes     string   `json:"probes,omitempty"`
	Attach     string   `json:"attach,omitempty"`
	Strict     bool     `json:"strict,omitempty"`
	Seed       *uint64  `json:"seed,omitempty"`   // absent: it was chosen
	Schema     *int     `json:"schema,omitempty"` // of the histograms
	QEMU       string   `json:"qemu,omitempty"`
	Catalogue  string   `json:"catalogue,omitempty"`
	Cache      string   `json:"cache,omitempty"`
	// Of the environment: programs, and the folder for temporary files.
	Firecracker string `json:"firecracker,omitempty"`
	Jailer      string `json:"jailer,omitempty"`
	TempDir     string `json:"temp_dir,omitempty"`
}

// Part is a stretch of a run without interruption.
type Part struct {
	Started time.Time `json:"started"` // wall clock
	// Finished is when a part that another one followed ended; of one that was killed, when
	// its last sample did, as far as that is known. The last part ended with the run.
	Finished *time.Time `json:"finished,omitempty"`
	Argv     []string   `json:"argv"`
	From     int        `json:"from"` // so many samples of all cells were there before
	// Differences are those of the host and of images from what they were at first, which
	// were accepted with --force.
	Differences []string `json:"differences,omitempty"`
}

// Ran is for how long a run was under way: what lies between its parts does not count. It
// is not known of a run that has not ended, of one that an ukprobe has resumed which did
// not note when a part ended, and of one that ended before it began ([Run.ClockSet]).
func (r *Run) Ran() (d time.Duration, known bool) {
	if r.Finished == nil || r.ClockSet() {
		return 0, false
	}
	if len(r.Parts) == 0 {
		return r.Finished.Sub(r.Started), true
	}
	for i := range r.Parts {
		end := r.endOf(i)
		if end == nil {
			return 0, false
		}
		d += end.Sub(r.Parts[i].Started)
	}
	return d, true
}

// endOf is when a part ended, nil if that is not known.
func (r *Run) endOf(part int) *time.Time {
	if part == len(r.Parts)-1 {
		return r.Finished
	}
	return r.Parts[part].Finished
}

// ClockSet tells whether the run, or a part of it, ended before it began, or lies further
// apart than a [time.Duration] holds: the wall clock was set meanwhile.
func (r *Run) ClockSet() bool {
	apart := func(a time.Time, b *time.Time) bool {
		return b != nil && (b.Before(a) || b.Sub(a) == math.MaxInt64)
	}
	for i := range r.Parts {
		if apart(r.Parts[i].Started, r.endOf(i)) {
			return true
		}
	}
	return apart(r.Started, r.Finished)
}

// Host is the fingerprint of the machine that was measured on.
type Host struct {
	Kernel        string            `json:"kernel"` // uname -r
	CPUModel      string            `json:"cpu_model"`
	CPUs          int               `json:"cpus"`       // online
	Hypervisor    string            `json:"hypervisor"` // "" on bare metal
	Accelerators  []string          `json:"accelerators"`
	KVMParameters map[string]string `json:"kvm_parameters"` // module.parameter: value
	Governor      string            `json:"governor"`       // "" where there is no cpufreq
	SMT           string            `json:"smt"`            // /sys/devices/system/cpu/smt/control
	IsolatedCPUs  string            `json:"isolated_cpus"`  // kernel list format: 1,3-5
	Cmdline       string            `json:"cmdline"`
	Versions      map[string]string `json:"versions"` // program: version
	Rungs         map[string]Rung   `json:"rungs"`    // hook: the rung it got
	// Overhead is what the probes cost here, or why that is not known.
	Overhead *Overhead `json:"overhead,omitempty"`
	// Settings are what the run has set, by name, and what was there before.
	Settings map[string]string `json:"settings,omitempty"`
}

// Rung is the attach mechanism a hook got, and why not a better one.
type Rung struct {
	Rung   string `json:"rung"`
	Reason string `json:"reason,omitempty"`
}

// Cell is one (system, app, platform, experiment) of the matrix under one
// accelerator, with all its samples.
type Cell struct {
	System     string             `json:"system"`
	App        string             `json:"app"`
	Platform   string             `json:"platform"`
	Experiment string             `json:"experiment"`
	Accel      string             `json:"accel"`            // kvm, tcg, or none where nothing is virtualised
	Probes     string             `json:"probes,omitempty"` // boot, full or none; "" in files from before there was a choice
	Status     string             `json:"status"`
	Reason     string             `json:"reason,omitempty"`
	Image      *Image             `json:"image,omitempty"`
	Firmware   string             `json:"firmware,omitempty"` // what the guest runs before its image: seabios, qboot
	Settings   *Settings          `json:"settings,omitempty"`
	Argv       []string           `json:"argv"`
	Stopped    *Stopped           `json:"stopped,omitempty"` // of a cell with a stopping rule
	Limit      *Limit             `json:"limit,omitempty"`   // of a cell whose time limit is learnt
	Samples    []Sample           `json:"samples"`
	Histograms []Histogram        `json:"histograms,omitempty"`
	Summary    map[string]Summary `json:"summary"`
}

// Settings are what the matrix and the command line asked of a cell.
type Settings struct {
	Samples   int   `json:"samples,omitempty"`
	Warmup    int   `json:"warmup,omitempty"`
	TimeoutNs int64 `json:"timeout_ns,omitempty"`
	// TimeoutLearnt: timeout_ns is only the bound of what is learnt.
	TimeoutLearnt bool   `json:"timeout_learnt,omitempty"`
	MemoryMiB     int    `json:"memory_mib,omitempty"`
	VCPUs         int    `json:"vcpus,omitempty"`
	Address       string `json:"address,omitempty"` // static or dhcp
	Vhost         bool   `json:"vhost,omitempty"`
	Args          string `json:"args,omitempty"`
	Ready         string `json:"ready,omitempty"`
	Port          int    `json:"port,omitempty"`
	Image         string `json:"image,omitempty"` // that the matrix names: of the catalogue, or an engine's

	Claims []ClaimPattern `json:"claims,omitempty"` // of the matrix, beside the built-in ones

	Parallel int    `json:"parallel,omitempty"` // guests started at once; absent: one
	Cache    string `json:"cache,omitempty"`    // of the image, before the start: as-is, warm, cold
	Tap      string `json:"tap,omitempty"`      // keep: all samples are on the same; absent: each on a new one
	// Of experiments: absent where the cell's has none.
	Load         *Workload     `json:"load,omitempty"`
	MemorySearch *MemorySearch `json:"memory_search,omitempty"`
	Density      *Density      `json:"density,omitempty"`
	Scratch      *ScratchDisk  `json:"scratch,omitempty"` // of experiment fs
	Until        *Until        `json:"until,omitempty"`
	CPUs         *CPUs         `json:"cpus,omitempty"` // absent for a cell that was not run
	// Absent: interference was not measured.
	Interference *InterferenceLimit `json:"interference,omitempty"`
}

// Workload is the load that a service was put under.
type Workload struct {
	DurationNs  int64 `json:"duration_ns"`
	WarmupNs    int64 `json:"warmup_ns"`
	Connections int   `json:"connections"`
	Threads     int   `json:"threads"`
	Pipeline    int   `json:"pipeline"`
	Rate        int   `json:"rate"`     // requests per second; 0: closed loop
	Requests    int   `json:"requests"` // 0: by duration
	ValueBytes  int   `json:"value_bytes"`
	BlockBytes  []int `json:"block_bytes,omitempty"` // of experiment fs
}

// ScratchDisk is the disk that a guest read and wrote.
type ScratchDisk struct {
	SizeMiB        int    `json:"size_mib"`
	Cache          string `json:"cache"`            // QEMU's cache=
	IOPS           int    `json:"iops"`             // that the VMM let through; 0: all
	BytesPerSecond int    `json:"bytes_per_second"` // likewise
}

// MemorySearch bounds the search for the least memory.
type MemorySearch struct {
	FromMiB int `json:"from_mib"`
	ToMiB   int `json:"to_mib"`
	StepMiB int `json:"step_mib"`
	Confirm int `json:"confirm"`
}

// Density bounds how many guests are started.
type Density struct {
	RAMMiB int `json:"ram_mib"`
	AtMost int `json:"at_most"`
}

// Until is the stopping rule of a cell.
type Until struct {
	WithinPercent int `json:"within_percent"`
	AtMost        int `json:"at_most"`
}

// Stopped says why a cell with a stopping rule has no more samples.
type Stopped struct {
	Samples   int    `json:"samples"` // when it stopped, without repeats
	Converged bool   `json:"converged"`
	Figure    string `json:"figure,omitempty"` // that was looked at
	// Percent of the median is the larger distance to an end of its 95 % interval; absent
	// where there was none.
	Percent *float64 `json:"percent,omitempty"`
	Reason  string   `json:"reason"` // all of it in words
}

// Limit is a time limit that was learnt.
type Limit struct {
	NS        int64 `json:"ns"`
	Samples   int   `json:"samples"`    // it was learnt from, warm-ups too
	SlowestNS int64 `json:"slowest_ns"` // of these
}

// ClaimPattern finds what a guest says of its own time.
type ClaimPattern struct {
	Name    string `json:"name"`
	Pattern string `json:"pattern"`
	Unit    string `json:"unit"`
	Since   string `json:"since,omitempty"` // absent: the guest's own clock
}

// Image is the file that was booted.
type Image struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`         // lower-case hex
	Size   int64  `json:"size,omitempty"` // bytes; 0 if it is not known

	// Key is the same for the same files, in every experiment and run: SHA256, or one
	// over all of Files. Files are those of an image that has more than the one at Path.
	Key   string      `json:"key,omitempty"`
	Files []ImageFile `json:"files,omitempty"`

	// KernelVersion is what a Linux kernel in it says of its own version, if it is a bzImage.
	KernelVersion string `json:"kernel_version,omitempty"`
	// Package is the Debian package that Version is of; "" if Version is the app's own.
	Package string `json:"package,omitempty"`

	// What the catalogue says of it; all empty if it is not from there.
	Name    string            `json:"name,omitempty"`
	Version string            `json:"version,omitempty"` // of the app
	Built   map[string]string `json:"built,omitempty"`   // from, compiler, flags, optimisations, allocator, scheduler, libc
}

// ImageFile is one of the files of an image.
type ImageFile struct {
	Kind   string `json:"kind"` // kernel, initrd, disk, program, config
	Path   string `json:"path"`
	SHA256 string `json:"sha256"` // lower-case hex
	Size   int64  `json:"size"`   // bytes
}

// Sample is one repetition of a cell.
type Sample struct {
	Started        time.Time          `json:"started"` // wall clock
	Status         string             `json:"status"`
	Reason         string             `json:"reason,omitempty"`
	Taints         []string           `json:"taints"`
	Events         []Event            `json:"events"`
	Missing        []Missing          `json:"missing"`
	Phases         Phases             `json:"phases"`
	Values         map[string]float64 `json:"values,omitempty"` // the unit is in the name
	Lost           map[string]uint64  `json:"lost,omitempty"`   // how many, by what got lost
	Console        []ConsoleLine      `json:"console,omitempty"`
	ConsoleOmitted uint64             `json:"console_omitted,omitempty"` // lines cut from the middle
	Stderr         string             `json:"stderr,omitempty"`          // tail of the VMM's, on failure
	Claims         []Claim            `json:"claims,omitempty"`          // experiment timing-validation
	Outputs        map[string]string  `json:"outputs,omitempty"`         // raw, of programs, by name
	Curves         map[string][]Point `json:"curves,omitempty"`          // values over time; the unit is in the name
	Facts          map[string]string  `json:"facts,omitempty"`           // what is no figure, by name
	// Addresses are where the guest was seen, or what of a process is where, in hexadecimal,
	// the oldest first: experiment aslr.
	Addresses map[string][]string `json:"addresses,omitempty"`

	// Guests are those of a sample that starts several at once, in order. Its own events,
	// phases and console are then of the one with the longest total.
	Guests []Sample `json:"guests,omitempty"`

	// Who else ran on the sample's CPUs, the longest first.
	Interference []Interference `json:"interference,omitempty"`
	// Disturbed: more than the cell's interference setting allows; the taints say by what.
	Disturbed bool `json:"disturbed,omitempty"`
	// RepeatOf is not 0: the sample was taken because that one, counted from 1 within
	// the cell, was disturbed.
	RepeatOf int `json:"repeat_of,omitempty"`
}

// Interference is what all tasks, or interrupts, of one name took of one CPU.
type Interference struct {
	Kind  string `json:"kind"` // task, kthread, ukprobe, irq, softirq, unnamed
	Name  string `json:"name"`
	CPU   int    `json:"cpu"`
	NS    int64  `json:"ns"`
	Count uint64 `json:"count"` // how often it came on the CPU
}

// CPUs are those that a cell's threads were put on.
type CPUs struct {
	VCPU   []int  `json:"vcpu"`
	VMM    []int  `json:"vmm"`
	Client []int  `json:"client"` // and ukprobe
	Reason string `json:"reason"` // how the plan came about
}

// InterferenceLimit says when a sample is disturbed, and what is done then.
type InterferenceLimit struct {
	AtMostPercent int `json:"at_most_percent"` // of one CPU's time
	Repeat        int `json:"repeat"`          // at most so often
}

// Point is a value at a time.
type Point struct {
	NS    int64   `json:"ns"` // CLOCK_MONOTONIC
	Value float64 `json:"value"`
}

// Statuses of a claim.
const (
	ClaimAgrees  = "agrees"
	ClaimOff     = "off"
	ClaimUnknown = "unknown"
)

// Claim is what a guest said of its own time, and what the host holds against it.
// Spans are nanoseconds.
type Claim struct {
	Name   string `json:"name"`
	Kind   string `json:"kind"` // stamp, duration, tsc
	Text   string `json:"text"` // the line that says so; of a series the last one
	Status string `json:"status"`
	Reason string `json:"reason,omitempty"` // why it cannot be told
	// The claim's value and the host's, in the same terms.
	ClaimNS *int64 `json:"claim_ns,omitempty"`
	HostNS  *int64 `json:"host_ns,omitempty"`
	// The claim less the host's value, and the bound of the error of that.
	OffNS *int64           `json:"off_ns,omitempty"`
	ErrNS *int64           `json:"err_ns,omitempty"`
	Terms map[string]int64 `json:"terms,omitempty"` // of which err_ns is the sum
	// What it was held against, for people.
	Against string `json:"against,omitempty"`
	// From vmm_exec to the zero of the claim.
	LeavesOut []Span `json:"leaves_out,omitempty"`
	NotApart  string `json:"not_apart,omitempty"` // why some of these are one span
	// Series of stamps.
	Stamps      int      `json:"stamps,omitempty"`
	Earlier     int      `json:"earlier_stamps,omitempty"` // before the guest set its clock back; not used
	Rate        *float64 `json:"rate,omitempty"`           // host seconds per guest second
	LagMedianNS *int64   `json:"lag_median_ns,omitempty"`
	LagMaxNS    *int64   `json:"lag_max_ns,omitempty"`
	Mapping     string   `json:"mapping,omitempty"` // how a guest's TSC was mapped
	// Not zero: not a claim but a control, mapped wrongly by so much on purpose.
	ControlNS int64 `json:"control_ns,omitempty"`
}

// Span is a named stretch of time.
type Span struct {
	Name string `json:"name"`
	NS   int64  `json:"ns"`
}

// Event is one timestamp, and where it came from.
type Event struct {
	Name string `json:"name"`
	NS   int64  `json:"ns"` // CLOCK_MONOTONIC
	Rung string `json:"rung"`
	Hook string `json:"hook"`
}

// Missing is an event that was expected and not seen, or a phase or value that cannot have
// been measured as it came out.
type Missing struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// Phases are the spans between events, in nanoseconds; nil when one of the
// events of a span is missing, or the guest has none. Parts add up to their whole
// where all of them are there.
type Phases struct {
	VMMNs      *int64 `json:"vmm_ns,omitempty"`
	FirmwareNs *int64 `json:"firmware_ns,omitempty"`
	GuestNs    *int64 `json:"guest_ns,omitempty"`
	TotalNs    *int64 `json:"total_ns,omitempty"`

	// Parts of the firmware's.
	BIOSNs      *int64 `json:"bios_ns,omitempty"`
	OptionROMNs *int64 `json:"option_rom_ns,omitempty"`
	// Parts of the guest's.
	SetupNs      *int64 `json:"setup_ns,omitempty"`
	DecompressNs *int64 `json:"decompress_ns,omitempty"`
	KernelNs     *int64 `json:"kernel_ns,omitempty"`
}

// ConsoleLine is one line of the guest's console, with the time of its first
// and last byte (CLOCK_MONOTONIC ns).
type ConsoleLine struct {
	FirstNS int64  `json:"first_ns"`
	LastNS  int64  `json:"last_ns"`
	Text    string `json:"text"`
}

// Histogram is the final state of one native histogram with one set of labels,
// in Prometheus' exponential schema: bucket i of schema s ends at 2^(i*2^-s).
// Buckets hold counts, not cumulated ones, of positive observations.
type Histogram struct {
	Name      string            `json:"name"`
	Labels    map[string]string `json:"labels,omitempty"`
	Schema    int32             `json:"schema"`
	ZeroCount uint64            `json:"zero_count"`
	Count     uint64            `json:"count"`
	Sum       float64           `json:"sum"` // in the unit that the name ends with
	Buckets   map[int32]uint64  `json:"buckets"`
}

// Summary describes the ok samples of one metric, and of total_ns also those that
// timed out. Its figures have the unit that the metric's name ends with.
type Summary struct {
	N      int         `json:"n"`
	Median float64     `json:"median"`
	CI95   *[2]float64 `json:"ci95"` // null: too few samples for an interval, or it ends beyond the time limit
	Min    float64     `json:"min"`
	Max    float64     `json:"max"` // of those within the time limit
	// Beyond is how many of N timed out: they count as longer than all others.
	Beyond int    `json:"beyond,omitempty"`
	Note   string `json:"note,omitempty"` // why ci95 is null; of experiment aslr, over what the figure is
}
