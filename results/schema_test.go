// SPDX-License-Identifier: Apache-2.0

package results

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

const schemaPath = "../docs/run.schema.json"

func compileSchema(t *testing.T, fragment string) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	s, err := c.Compile(schemaPath + fragment)
	must(t, err)
	return s
}

// fullRun is a run.json that uses every field, written by the store.
func fullRun(t *testing.T) []byte {
	t.Helper()
	dir := t.TempDir()
	cells := testCells()
	cells[0].Probes, cells[0].Firmware, cells[0].Settings = ProbesFull, "seabios", fullSettings()
	hash := strings.Repeat("0f", 32)
	cells[0].Image = &Image{Path: "/img", SHA256: hash, Size: 1, Key: hash, Files: []ImageFile{{Kind: "kernel", Path: "/img", SHA256: hash, Size: 1}},
		Name: "mine", Version: "1", Package: "busybox", KernelVersion: "6.1.0", Built: map[string]string{"compiler": "gcc"}}
	cells[0].Histograms = []Histogram{{Name: "h_seconds", Labels: map[string]string{"a": "b"}, Schema: 3,
		Count: math.MaxUint64, Sum: 1, Buckets: map[int32]uint64{-7: 1}}}
	run := testRun()
	run.Asked = &Asked{Matrix: "m.yaml", MatrixText: "version: 1", Dir: "/", Only: []string{"app=hello"}, Set: []string{"samples=2"}, Samples: 1, Seed: ptrTo[uint64](7), Warmup: ptrTo(0),
		TimeoutNs: 1, Accel: "kvm", Probes: "boot", Attach: "auto", Strict: true, Schema: ptrTo(3), QEMU: "qemu", Catalogue: "/c.yaml", Cache: "/cache",
		Firecracker: "firecracker", Jailer: "jailer", TempDir: "/tmp"}
	run.Parts = []Part{{Started: started, Finished: ptrTo(started.Add(time.Minute)), Argv: []string{"ukprobe"}},
		{Started: started.Add(time.Hour), Argv: []string{"ukprobe"}, From: 1, Differences: []string{"kernel: 1 then, 2 now"}}}
	s, err := Create(dir, run, testHost(), cells)
	must(t, err)
	must(t, s.SetHost(Host{Kernel: "6.1", Rungs: map[string]Rung{"kvm_exit": {"raw_tp", "no BTF"}}, Settings: map[string]string{"thp": "never, was madvise"}, Overhead: anOverhead()}))
	must(t, s.SetCellArgv(0, []string{"qemu"}))
	must(t, s.SetCellStopped(0, Stopped{Samples: 6, Converged: true, Figure: "total_ns", Percent: ptrTo(4.5), Reason: "why"}))
	must(t, s.SetCellLimit(0, Limit{NS: 3, Samples: 4, SlowestNS: 2}))
	for i := range 6 {
		sample := okSample(int64(i + 1))
		sample.Interference = []Interference{{Kind: "task", Name: "cc1", CPU: 1, NS: 5, Count: 2}}
		sample.Disturbed = true
		sample.Guests = []Sample{okSample(3), {Status: SampleTimeout, Reason: "not ready after 1s"}}
		sample.Console = make([]ConsoleLine, MaxConsoleLines+1)
		sample.Outputs, sample.Facts = map[string]string{"wrk": "text"}, map[string]string{"libc": "musl"}
		sample.Curves = map[string][]Point{"guest_bytes": {{NS: 1, Value: 2}}}
		sample.Addresses = map[string][]string{"halt": {"0xffffffff81000000"}}
		p := &sample.Phases
		p.FirmwareNs, p.BIOSNs, p.OptionROMNs, p.SetupNs, p.DecompressNs, p.KernelNs = ns(1), ns(1), ns(1), ns(1), ns(1), ns(1)
		sample.Claims = []Claim{
			{Name: "linux_printk", Kind: "stamp", Text: "[    0.1", Status: ClaimAgrees, ClaimNS: ns(-1), HostNS: ns(2), OffNS: ns(-3), ErrNS: ns(1),
				Terms: map[string]int64{"resolution": 1}, LeavesOut: []Span{{Name: "VMM", NS: 7}}, NotApart: "guest_entry is missing", Against: "console_first",
				Stamps: 3, Earlier: 2, Rate: ptrTo(1.5), LagMedianNS: ns(1), LagMaxNS: ns(2)},
			{Name: "reference_ready", Kind: "tsc", Text: "\xff", Status: ClaimUnknown, Reason: "why", Mapping: "how", ControlNS: -1},
		}
		must(t, s.AddSample(0, sample))
	}
	must(t, s.AddSample(1, okSample(5)))
	must(t, s.AddSample(1, Sample{Status: SampleFailed, RepeatOf: 1, Reason: "crashed", Stderr: "boom", Started: time.Now()}))
	must(t, s.AddSample(1, okSample(6)))
	must(t, s.AddSample(1, Sample{Status: SampleTimeout, Reason: "not ready after 1s", Started: time.Now()}))
	must(t, s.AddSample(1, Sample{Status: SampleFailed, Reason: "crashed", Stderr: "boom", Started: time.Now()}))
	must(t, s.Finish(RunInterrupted))
	data, err := os.ReadFile(filepath.Join(dir, FileName))
	must(t, err)
	return data
}

// fullSettings use every field.
func fullSettings() *Settings {
	return &Settings{Samples: 1, Warmup: 1, TimeoutNs: 1, TimeoutLearnt: true, MemoryMiB: 1, VCPUs: 1, Address: "dhcp", Vhost: true, Args: "quiet", Ready: "ready", Port: 80, Image: "mine",
		Claims: []ClaimPattern{{Name: "mine", Pattern: "(?P<value>.)", Unit: "ms", Since: EventVMMExec}}, Parallel: 2, Cache: "cold", Tap: "keep",
		Load: &Workload{BlockBytes: []int{512}}, MemorySearch: &MemorySearch{}, Density: &Density{}, Scratch: &ScratchDisk{Cache: "none"}, Until: &Until{},
		CPUs: &CPUs{VCPU: []int{1}, VMM: []int{1}, Client: []int{0}, Reason: "why"}, Interference: &InterferenceLimit{}}
}

func ptrTo[T any](v T) *T { return &v }

func validate(t *testing.T, s *jsonschema.Schema, data []byte) error {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(string(data)))
	must(t, err)
	return s.Validate(v)
}

func TestSchemaAcceptsRuns(t *testing.T) {
	schema := compileSchema(t, "")
	must(t, validate(t, schema, fullRun(t)))

	dir := t.TempDir()
	empty, err := Create(dir, Run{ID: "x", Started: started}, Host{}, nil)
	must(t, err)
	must(t, empty.Finish(RunOK))
	data, err := os.ReadFile(filepath.Join(dir, FileName))
	must(t, err)
	must(t, validate(t, schema, data))
}

func TestSchemaAcceptsJournal(t *testing.T) {
	data := oldEntry(t, 0, 0)
	schema := compileSchema(t, "#/$defs/journal_entry")
	must(t, validate(t, schema, data))
	if validate(t, schema, []byte(`{"cell":0}`)) == nil {
		t.Error("an entry without a sample is accepted")
	}
}

func TestSchemaRefuses(t *testing.T) {
	schema := compileSchema(t, "")
	good := string(fullRun(t))
	tests := []struct{ name, old, new string }{
		{"another format", `"ukprobe-run"`, `"run"`},
		{"another version", `"format_version": 1`, `"format_version": 2`},
		{"no host", `"host"`, `"hosts"`},
		{"an unknown field", `"cpu_model"`, `"colour":"red","cpu_model"`},
		{"a run status of no meaning", `"interrupted"`, `"stopped"`},
		{"a cell status of no meaning", `"probes":"full","status":"ok"`, `"probes":"full","status":"fine"`},
		{"a phase of zero", `"firmware_ns":1`, `"firmware_ns":0`},
		{"a phase that is a fraction", `"firmware_ns":1`, `"firmware_ns":1.5`},
		{"a negative loss", `"ringbuf":3`, `"ringbuf":-3`},
		{"an event without its rung", `"rung":"tracepoint",`, ``},
		{"an interval of one", `"ci95":[1,6]`, `"ci95":[1]`},
		{"a time that is none", started.Format(time.RFC3339Nano), "yesterday"},
		{"a short hash", `"sha256":"0f`, `"sha256":"`},
		{"a bucket without a number", `"buckets":{"-7"`, `"buckets":{"x"`},
		{"a verdict of no meaning", `"status":"agrees"`, `"status":"right"`},
		{"an error below zero", `"err_ns":1`, `"err_ns":-1`},
		{"interference of no kind", `"kind":"task"`, `"kind":"thing"`},
		{"a repeat of nothing", `"repeat_of":1`, `"repeat_of":-1`},
		{"an empty system", `"system":"reference"`, `"system":""`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bad := strings.Replace(good, tt.old, tt.new, 1)
			if bad == good {
				t.Fatalf("%q is not in the run", tt.old)
			}
			if validate(t, schema, []byte(bad)) == nil {
				t.Error("accepted")
			}
		})
	}
}

// TestSchemaHasNoKeyTwice: decoders take the last of two and say nothing.
func TestSchemaHasNoKeyTwice(t *testing.T) {
	data, err := os.ReadFile(schemaPath)
	must(t, err)
	twice, err := keysTwice(json.NewDecoder(strings.NewReader(string(data))), "")
	must(t, err)
	if len(twice) > 0 {
		t.Errorf("twice in %s: %s", schemaPath, strings.Join(twice, ", "))
	}
	twice, err = keysTwice(json.NewDecoder(strings.NewReader(`{"a": [{"x": 1}, {"b": {"c": 1, "d": [], "c": 2}}], "b": 1}`)), "")
	must(t, err)
	if diff := cmp.Diff([]string{"/a/1/b/c"}, twice); diff != "" {
		t.Errorf("of a document with one (-want +got):\n%s", diff)
	}
}

// keysTwice are the paths of the keys that are in their object already, in the JSON
// value that comes next.
func keysTwice(d *json.Decoder, path string) (twice []string, err error) {
	begin, err := d.Token()
	if err != nil {
		return nil, err
	}
	if begin != json.Delim('{') && begin != json.Delim('[') {
		return nil, nil
	}
	seen := map[string]bool{}
	for i := 0; d.More(); i++ {
		key := strconv.Itoa(i)
		if begin == json.Delim('{') {
			token, err := d.Token()
			if err != nil {
				return nil, err
			}
			key = token.(string)
			if seen[key] {
				twice = append(twice, path+"/"+key)
			}
			seen[key] = true
		}
		inner, err := keysTwice(d, path+"/"+key)
		if err != nil {
			return nil, err
		}
		twice = append(twice, inner...)
	}
	_, err = d.Token()
	return twice, err
}

// TestSchemaIsTheTypes holds the schema's properties against the Go types, and
// checks that every property is described, and is in the run that the schema accepts.
func TestSchemaIsTheTypes(t *testing.T) {
	full := string(fullRun(t))
	data, err := os.ReadFile(schemaPath)
	must(t, err)
	var root map[string]any
	must(t, json.Unmarshal(data, &root))
	defs := root["$defs"].(map[string]any)
	at := func(v any, path ...string) any {
		for _, p := range path {
			v = v.(map[string]any)[p]
		}
		return v
	}
	sample, cell := defs["sample"], defs["cell"]
	for _, tt := range []struct {
		typ    any
		schema any
	}{
		{File{}, root},
		{Run{}, defs["run"]},
		{Host{}, defs["host"]},
		{Rung{}, at(defs["host"], "properties", "rungs", "additionalProperties")},
		{Cell{}, cell},
		{Image{}, at(cell, "properties", "image")},
		{ImageFile{}, at(cell, "properties", "image", "properties", "files", "items")},
		{Overhead{}, defs["overhead"]},
		{OverheadCondition{}, at(defs["overhead"], "properties", "conditions", "items")},
		{OverheadProgram{}, at(defs["overhead"], "properties", "programs", "items")},
		{OverheadCost{}, defs["overhead_cost"]},
		{Asked{}, defs["asked"]},
		{Part{}, at(defs["run"], "properties", "parts", "items")},
		{Stopped{}, at(cell, "properties", "stopped")},
		{Limit{}, at(cell, "properties", "limit")},
		{Sample{}, sample},
		{Point{}, at(sample, "properties", "curves", "additionalProperties", "items")},
		{Event{}, at(sample, "properties", "events", "items")},
		{Interference{}, at(sample, "properties", "interference", "items")},
		{Claim{}, defs["claim"]},
		{Span{}, defs["span"]},
		{Settings{}, at(cell, "properties", "settings")},
		{Workload{}, at(cell, "properties", "settings", "properties", "load")},
		{ScratchDisk{}, at(cell, "properties", "settings", "properties", "scratch")},
		{MemorySearch{}, at(cell, "properties", "settings", "properties", "memory_search")},
		{Density{}, at(cell, "properties", "settings", "properties", "density")},
		{Until{}, at(cell, "properties", "settings", "properties", "until")},
		{CPUs{}, at(cell, "properties", "settings", "properties", "cpus")},
		{InterferenceLimit{}, at(cell, "properties", "settings", "properties", "interference")},
		{ClaimPattern{}, at(cell, "properties", "settings", "properties", "claims", "items")},
		{Missing{}, at(sample, "properties", "missing", "items")},
		{Phases{}, at(sample, "properties", "phases")},
		{ConsoleLine{}, at(sample, "properties", "console", "items")},
		{Histogram{}, defs["histogram"]},
		{Summary{}, defs["summary"]},
		{journalEntry{}, defs["journal_entry"]},
	} {
		typ := reflect.TypeOf(tt.typ)
		want, wantRequired := map[string]bool{}, map[string]bool{}
		for i := range typ.NumField() {
			name, opts, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			want[name] = true
			if typ != reflect.TypeFor[journalEntry]() && !strings.Contains(full, `"`+name+`":`) {
				t.Errorf("%s.%s is not in the full run", typ.Name(), name)
			}
			if opts != "omitempty" {
				wantRequired[name] = true
			}
		}
		if typ == reflect.TypeFor[Sample]() {
			want[countsKey] = true // written with it
		}
		got, gotRequired := map[string]bool{}, map[string]bool{}
		for name, p := range at(tt.schema, "properties").(map[string]any) {
			got[name] = true
			prop := p.(map[string]any)
			if _, isRef := prop["$ref"]; !isRef && prop["description"] == nil {
				t.Errorf("%s.%s is not described", typ.Name(), name)
			}
		}
		required, _ := at(tt.schema, "required").([]any)
		for _, name := range required {
			gotRequired[name.(string)] = true
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s, -type +schema:\n%s", typ.Name(), d)
		}
		if d := cmp.Diff(wantRequired, gotRequired); d != "" {
			t.Errorf("%s, required, -type +schema:\n%s", typ.Name(), d)
		}
	}
}
