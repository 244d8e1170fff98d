// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ukprobe/ukprobe/guests/reference"
	"github.com/ukprobe/ukprobe/results"
)

// yamlOf returns the YAML examples of a page.
func yamlOf(t *testing.T, page string) []string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, part := range strings.Split(string(text), "```yaml\n")[1:] {
		example, _, _ := strings.Cut(part, "```")
		out = append(out, example)
	}
	return out
}

// TestAddingASystem runs the example of docs/adding-a-system.md as it stands there: a
// system that only the catalogue knows, on a console and on the wire.
func TestAddingASystem(t *testing.T) {
	needRoot(t)
	needNative(t, "the page is read where the source is")
	examples := yamlOf(t, "../../docs/adding-a-system.md")
	if len(examples) != 2 {
		t.Fatalf("the page has %d examples, want a catalogue and a matrix", len(examples))
	}
	dir := t.TempDir()
	for name, content := range map[string]string{"catalogue.yaml": examples[0], "example.yaml": examples[1], "reference.elf": string(reference.Image())} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c := newRun(t, "--catalogue", filepath.Join(dir, "catalogue.yaml"), "--matrix", filepath.Join(dir, "example.yaml"))
	f := c.run().want(0).file()
	if len(f.Cells) != 4 {
		t.Fatalf("%d cells", len(f.Cells))
	}
	for _, cell := range f.Cells {
		if cell.System != "example" || cell.Status != results.CellOK || len(cell.Samples) != 2 {
			t.Errorf("%s: %s %s, %d samples", cell.App+" on "+cell.Platform, cell.Status, cell.Reason, len(cell.Samples))
		}
	}
}

// TestImageIsNotWhatTheCatalogueSays: that cell fails and names both digests; the
// others run.
func TestImageIsNotWhatTheCatalogueSays(t *testing.T) {
	needRoot(t)
	needNative(t, "nothing of it is the kernel's")
	dir := t.TempDir()
	wrong := strings.Repeat("0", 64)
	entry := ", system: example, platform: qemumicrovm, path: reference.elf, ready: '^ukprobe-reference: ready', fpu_free: true"
	for name, content := range map[string]string{
		"reference.elf":  string(reference.Image()),
		"catalogue.yaml": "version: 1\nimages:\n  - {name: a, app: good" + entry + "}\n  - {name: b, app: bad" + entry + ", sha256: '" + wrong + "'}\n",
		"m.yaml":         "version: 1\ncells:\n  - {system: example, app: [good, bad], platform: qemumicrovm, samples: 1, warmup: 0}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c := newRun(t, "--catalogue", filepath.Join(dir, "catalogue.yaml"), "--matrix", filepath.Join(dir, "m.yaml"))
	f := c.run().want(1).file()
	for _, cell := range f.Cells {
		switch cell.App {
		case "good":
			if len(cell.Samples) != 1 || cell.Status != results.CellOK {
				t.Errorf("good: %s %s", cell.Status, cell.Reason)
			}
		case "bad":
			if cell.Status != results.CellFailed || !strings.Contains(cell.Reason, wrong) || !strings.Contains(cell.Reason, "checksum mismatch") {
				t.Errorf("bad: %s %s", cell.Status, cell.Reason)
			}
		}
	}
}
