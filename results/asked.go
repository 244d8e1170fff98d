// SPDX-License-Identifier: Apache-2.0

package results

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ukprobe/ukprobe/internal/shell"
)

// AskedFor is what a run was asked for beside its matrix, as it is written on the command
// line, quoted for a shell: what tells two runs of one matrix apart. The seed is among it if
// it was given, there or by the environment.
func (r *Run) AskedFor() (out []string) {
	a := r.Asked
	if a == nil {
		return nil
	}
	add := func(flag, value string) { out = append(out, "--"+flag+" "+shell.Quote(value)) }
	for _, text := range a.Only {
		add("only", text)
	}
	for _, text := range a.Set {
		add("set", text)
	}
	if a.Samples > 0 {
		add("samples", strconv.Itoa(a.Samples))
	}
	if a.Warmup != nil {
		add("warmup", strconv.Itoa(*a.Warmup))
	}
	if a.TimeoutNs > 0 {
		add("timeout", time.Duration(a.TimeoutNs).String())
	}
	for _, f := range []struct{ flag, value, byDefault string }{
		{"accel", a.Accel, ""}, {"probes", a.Probes, ""}, {"attach", a.Attach, "auto"}, {"qemu", a.QEMU, ""},
	} {
		if f.value != "" && f.value != f.byDefault {
			add(f.flag, f.value)
		}
	}
	if a.Strict {
		out = append(out, "--strict")
	}
	seeded := func(arg string) bool { name, _, _ := strings.Cut(arg, "="); return name == "--seed" || name == "-seed" }
	switch {
	case a.Seed != nil:
		add("seed", strconv.FormatUint(*a.Seed, 10))
	case slices.ContainsFunc(r.Argv, seeded): // of a run that did not note it yet
		add("seed", strconv.FormatUint(r.Seed, 10))
	}
	return out
}

// withoutMatrix is the text of a stored [Run] without that of its matrix, which can be
// long and which a list does not read.
func withoutMatrix(head []byte) []byte {
	const key = `,"matrix_text":"` // within another text its quotes would be escaped
	at := bytes.Index(head, []byte(key))
	if at < 0 {
		return head
	}
	for i := at + len(key); i < len(head); i++ {
		switch head[i] {
		case '\\':
			i++
		case '"':
			return slices.Concat(head[:at], head[i+1:])
		}
	}
	return head
}
