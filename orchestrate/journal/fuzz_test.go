// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"slices"
	"testing"
)

// FuzzParse: whatever a journal holds, its entries have a kind and a name, each
// once, and every whole line is either understood or told as bad.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "{}\n", `{"op":"open","version":1,"run":"r","pid":1}` + "\n" + `{"op":"add","kind":"cgroup","name":"a","data":{"path":"/x"}}` + "\n" + `{"op":"del","kind":"cgroup","name":"a"}` + "\n",
		`{"op":"add","kind":"k","name":"n"}`, `{"op":"open","version":2}` + "\n", "null\n", `{"op":"add"}` + "\n" + `{"op":"close"}` + "\n", "\n\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		c := parse(raw)
		if c.size < 0 || c.size > int64(len(raw)) {
			t.Fatalf("%d of %d bytes are whole lines", c.size, len(raw))
		}
		for i, e := range c.entries {
			if e.Kind == "" || e.Name == "" || slices.ContainsFunc(c.entries[:i], e.is) {
				t.Fatalf("entry %+v of %+v", e, c.entries)
			}
		}
	})
}
