// SPDX-License-Identifier: Apache-2.0

package units

import (
	"math"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestDuration(t *testing.T) {
	for ns, want := range map[float64]string{
		0: "0 ns", 1: "1 ns", 12: "12 ns", 999: "999 ns", 0.5: "0.50 ns", 12.345: "12.3 ns",
		1000: "1.00 µs", 1234: "1.23 µs", 12345: "12.3 µs", 123456: "123 µs", 999499: "999 µs",
		// Rounding carries into the next unit.
		999500: "1.00 ms", 999999: "1.00 ms", 9994999: "9.99 ms", 9995000: "10.0 ms", 99950000: "100 ms", 999.6e6: "1.00 s",
		1.5e9: "1.50 s", 59.96e9: "60.0 s", 3600e9: "3600 s",
		-1234: "-1.23 µs", -999999: "-1.00 ms",
	} {
		if got := (Style{}).Duration(ns); got != want {
			t.Errorf("%v ns: %q, want %q", ns, got, want)
		}
		if got := (Style{ASCII: true}).Duration(ns); strings.Contains(got, "µ") || len(got) != len([]rune(want)) {
			t.Errorf("%v ns in ASCII: %q", ns, got)
		}
	}
}

func TestQuantity(t *testing.T) {
	for _, c := range []struct {
		metric string
		v      float64
		want   string
	}{
		{"total_ns", 41_234_000, "41.2 ms"},
		{"file_bytes", 1023, "1023 B"}, {"file_bytes", 1536, "1.50 KiB"}, {"file_bytes", 1<<30 - 1, "1024 MiB"},
		{"memory_min_bytes", 64 << 20, "64.0 MiB"}, {"read_bytes_per_second", 123 << 20, "123 MiB/s"},
		{"requests_per_second", 12345.6, "12.3 k"}, {"requests_per_second", 999_700, "1.00 M"}, {"requests_per_second", 5, "5"},
		{"errors", 0, "0"}, {"errors", 12345, "12345"}, {"instances", 2e6, "2.00 M"},
		{"entropy_bits", 8.5, "8.50 bit"}, {"interference_percent", 0.123, "0.12 %"},
		{"exits_per_request", 3.14159, "3.14"},
	} {
		if got := (Style{}).Quantity(c.metric, c.v); got != c.want {
			t.Errorf("%s %v: %q, want %q", c.metric, c.v, got, c.want)
		}
	}
}

// FuzzThreeDigits: whatever the figure, three digits count, and what is written is the
// figure to half of the last one.
func FuzzThreeDigits(f *testing.F) {
	for _, v := range []float64{0, 1, 999.5, 999.4999, 99.95, 9.995, 1e9, 1e12, -0.001, 999999.9} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v float64) {
		if math.IsNaN(v) || math.Abs(v) >= 999.5e9 || v != 0 && math.Abs(v) < 1 {
			t.Skip()
		}
		text := (Style{}).Duration(v)
		number, unit, _ := strings.Cut(text, " ")
		digits := len(strings.Trim(strings.ReplaceAll(number, ".", ""), "-"))
		if digits > 3 {
			t.Errorf("%v: %q has %d digits", v, text, digits)
		}
		size := map[string]float64{"ns": 1, "µs": 1e3, "ms": 1e6, "s": 1e9}[unit]
		back, err := strconv.ParseFloat(number, 64)
		if back *= size; err != nil || math.Abs(back-v) > 0.00501*math.Abs(v) {
			t.Errorf("%v: %q", v, text)
		}
	})
}

func TestLeft(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 1400 * time.Millisecond: "1s", 59 * time.Second: "59s", 60 * time.Second: "1m", 62 * time.Second: "1m",
		63 * time.Second: "1m5s", 70 * time.Second: "1m10s", 10 * time.Minute: "10m", 3*time.Hour + 7*time.Minute + 12*time.Second: "3h7m",
	} {
		if got := Left(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
