// SPDX-License-Identifier: Apache-2.0

package results

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// FuzzLoad: whatever stands in run.json and samples.jsonl, it is a run or an error,
// and a run's summaries are as many as its cells.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(`{"format":"ukprobe-run","format_version":1,"cells":[{"samples":[]}]}`), []byte(`{"cell":0,"n":0,"sample":{"status":"ok"}}`+"\n"))
	f.Add([]byte(`{"format":"ukprobe-run","format_version":1,"cells":[{}]}`), []byte(`{"cell":-1,"n":-1,"sample":null}`+"\n"))
	f.Add([]byte(`{"format":"ukprobe-run","format_version":2}`), []byte("\n"))
	f.Add([]byte(`{"format":"other"}`), []byte("{"))
	f.Add([]byte("[[[["), []byte{})
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, run, samples []byte) {
		for name, data := range map[string][]byte{FileName: run, JournalName: samples} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		file, err := Load(dir)
		if err != nil {
			return
		}
		if file.Format != Format || file.FormatVersion != FormatVersion {
			t.Fatalf("%s %d is taken for a run", file.Format, file.FormatVersion)
		}
		for i := range file.Cells {
			if _, err := json.Marshal(file.Cells[i].Summarize()); err != nil {
				t.Fatalf("cell %d cannot be written again: %v", i, err)
			}
		}
	})
}
