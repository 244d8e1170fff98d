// SPDX-License-Identifier: Apache-2.0

package plainjson

import (
	"bytes"
	"encoding/json"
	"testing"
)

func TestEscape(t *testing.T) {
	for text, want := range map[string]string{
		`"plain, ünïcödé, 日本"`:        `"plain, ünïcödé, 日本"`,
		"\"a\u009b2Jb\"":              `"a\u009b2Jb"`,
		"\"a\x7fb\"":                  `"a\u007fb"`,
		"\"\u202eabc\u2066\u200f\"":   `"\u202eabc\u2066\u200f"`,
		"\"\U000e0041tag\ufeff\"":     `"\udb40\udc41tag\ufeff"`,
		"\"\u0085\u0085\"":            `"\u0085\u0085"`,
		"":                            "",
		"\"not UTF-8: \xff\x9b\xc2\"": "\"not UTF-8: \xff\x9b\xc2\"",
	} {
		if got := string(Escape([]byte(text))); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// FuzzWriter: in whatever pieces a value is written, it stays the same value, and nothing
// is left in its text that a terminal would act on.
func FuzzWriter(f *testing.F) {
	for _, s := range []string{"plain", "a\u009b\u202e日本\U000e0041\x7f", "\x1b[2J"} {
		f.Add(s, 1)
		f.Add(s, 3)
	}
	f.Fuzz(func(t *testing.T, s string, piece int) {
		text, err := json.Marshal(map[string]string{"a": s})
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		w := NewWriter(&out)
		for rest := text; len(rest) > 0; {
			n := min(max(1, piece), len(rest))
			if k, err := w.Write(rest[:n]); k != n || err != nil {
				t.Fatalf("%d, %v", k, err)
			}
			rest = rest[n:]
		}
		var a, b map[string]string
		if json.Unmarshal(text, &a) != nil || json.Unmarshal(out.Bytes(), &b) != nil || a["a"] != b["a"] {
			t.Fatalf("%q became %q", text, out.Bytes())
		}
		if !bytes.Equal(out.Bytes(), Escape(text)) || !bytes.Equal(out.Bytes(), Escape(out.Bytes())) {
			t.Fatalf("%q", out.Bytes())
		}
	})
}
