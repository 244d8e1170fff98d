// SPDX-License-Identifier: Apache-2.0

package procstat

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	const tail = " 1 7 7 0 -1 4194560 10 0 0 0 1 2 3 4 20 0 1 0 98765 1000 200\n"
	for text, want := range map[string]Stat{
		"7 (cat) R" + tail:                  {"cat", "R", 98765},
		"7 (a) S 1) (b) Z" + tail:           {"a) S 1) (b", "Z", 98765},
		"7 (\x1b[31m\xff evil) S" + tail:    {"\x1b[31m\xff evil", "S", 98765},
		"7 () S" + tail:                     {"", "S", 98765},
		"7 (two\nlines) D" + tail:           {"two\nlines", "D", 98765},
		"7 (no end) X 1" + tail[2:]:         {"no end", "X", 98765},
		"7 (exact) I" + tail[:len(tail)-10]: {"exact", "I", 98765},
	} {
		got, err := Parse([]byte(text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
	for _, text := range []string{"", "7", "7 cat S 0", "7 )cat( S" + tail, "7 (cat) R 1 2 3", "7 (cat) S" + strings.Repeat(" x", 20), "7 (cat) S" + strings.Repeat(" -1", 20)} {
		if got, err := Parse([]byte(text)); err == nil {
			t.Errorf("%q: %+v and no error", text, got)
		}
	}
}

// TestParseOfThisProcess: the kernel's own text.
func TestParseOfThisProcess(t *testing.T) {
	text, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		t.Fatal(err)
	}
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(text)
	if err != nil || got.Comm+"\n" != string(comm) || got.Start == 0 || got.State != "R" {
		t.Errorf("%+v, %v: want %s, running", got, err, comm)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("12 (a (b) c) S 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 4711 0"))
	f.Add([]byte(")("))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Parse(text)
		if err == nil && (!strings.Contains(string(text), "("+s.Comm+")") || s.State == "") {
			t.Errorf("%q: %+v", text, s)
		}
		if err != nil && s != (Stat{}) {
			t.Errorf("%q: %+v beside %v", text, s, err)
		}
	})
}
