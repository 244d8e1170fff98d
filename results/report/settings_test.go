// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/results"
)

// asked is a run of one guest and one process that were asked for so much memory.
func asked(id string, memoryMiB int) Source {
	cell := func(system, platform, accel string) results.Cell {
		c := bootCell(system, "hello", platform, 1)
		c.Accel, c.Settings = accel, &results.Settings{Samples: 3, MemoryMiB: memoryMiB, VCPUs: 1, Address: "static", Ready: "^a, b"}
		return c
	}
	f := &results.File{Run: results.Run{ID: id}, Cells: []results.Cell{cell("linux", "qemu1nic", "kvm"), cell("process", "process", "none")}}
	return Source{Label: id, File: f}
}

func TestSettingsDiffer(t *testing.T) {
	const words = "memory_mib 256 in a, 1024 in b"
	doc := NewDocument(asked("a", 256), asked("b", 1024))
	if diff := cmp.Diff([]string{"Settings differ between the runs, of 1 cell: " + words + "."}, doc.Warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	noted := map[string]bool{}
	for _, g := range doc.Grids {
		for _, r := range g.Rows {
			for _, e := range r.Entries {
				for _, n := range e.Notes {
					if g.Notes[n-1] == "settings differ: "+words {
						noted[e.Cell.System] = true
					}
				}
			}
		}
	}
	if diff := cmp.Diff(map[string]bool{"linux": true}, noted); diff != "" {
		t.Errorf("systems with a footnote (-want +got):\n%s", diff)
	}
	if same := NewDocument(asked("a", 256), asked("b", 256)); len(same.Warnings) > 0 {
		t.Errorf("nothing differs: %q", same.Warnings)
	}
	alone := method(new(asked("a", 256)))
	for _, r := range alone.Cells.Rows {
		if memory := r[6]; (memory == "256 MiB") != (r[7] == "1") || memory != "256 MiB" && memory != "–" {
			t.Errorf("asked: %q", r)
		}
	}
	if len(alone.Cells.Rows) != 2 {
		t.Errorf("%d rows, want one of the guest and one of the process", len(alone.Cells.Rows))
	}
}

func TestSettingsForPrograms(t *testing.T) {
	doc := NewDocument(asked("a", 256), asked("b", 1024))
	var b bytes.Buffer
	if err := doc.CSV(&b, false); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&b).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) int {
		for i, column := range rows[0] {
			if column == name {
				return i
			}
		}
		t.Fatalf("no column %s", name)
		return -1
	}
	got := map[string]bool{}
	for _, r := range rows[1:] {
		got[strings.Join([]string{r[at("run")], r[at("system")], r[at("memory_mib")], r[at("vcpus")], r[at("settings")]}, "|")] = true
	}
	want := map[string]bool{"a|linux|256|1|address=static; ready=^a, b": true, "b|linux|1024|1|address=static; ready=^a, b": true,
		"a|process|||ready=^a, b": true, "b|process|||ready=^a, b": true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("csv (-want +got):\n%s", diff)
	}
	b.Reset()
	if err := doc.JSON(&b); err != nil {
		t.Fatal(err)
	}
	var read jsonDocument
	if err := json.Unmarshal(b.Bytes(), &read); err != nil {
		t.Fatal(err)
	}
	if c := read.Runs[1].Cells[0]; string(c.Settings["memory_mib"]) != "1024" || string(c.Settings["address"]) != `"static"` || c.Differs == "" {
		t.Errorf("json: %+v", c)
	}
}
