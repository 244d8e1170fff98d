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

func TestInterval(t *testing.T) {
	for _, tt := range []struct {
		metric    string
		v, lo, hi float64
		want      string
	}{
		{"total_ns", 68e6, 41.1e6, 139.5e6, "41.1–140 ms"},
		{"total_ns", 4.94e9, 4.91e9, 5.0234e9, "4.91–5.02 s"},
		{"total_ns", 1.02e9, 951e6, 1.1e9, "0.95–1.10 s"},
		{"total_ns", 900e6, 850e6, 1.2e9, "850–1200 ms"},
		{"total_ns", 5e9, 12e6, 6e9, "12.0 ms–6.00 s"},
		{"total_ns", 9e6, 8e6, 12.5e9, "8.00 ms–12.5 s"},
		{"total_ns", 5e3, 4.5e3, 6e3, "4.50–6.00 µs"},
		{"total_ns", 7, 5, 8, "5–8 ns"},
		{"memory_min_bytes", 16 << 20, 16 << 20, 17 << 20, "16.0–17.0 MiB"},
		{"read_bytes_per_second", 5 << 20, 4 << 20, 6 << 20, "4.00–6.00 MiB/s"},
		{"requests_per_second", 12345, 11999, 13000, "12.0–13.0 k"},
		{"instances", 15.5, 15, 16, "15–16"},
		{"client_busy_percent", 5, 0, 7, "0–7.00 %"},
		{"entropy_bits", 8, 7.5, 8, "7.50–8.00 bit"},
		{"offset_ns", -5e3, -6e3, 2e3, "-6.00 to 2.00 µs"},
	} {
		if got := (Style{}).Interval(tt.metric, tt.v, tt.lo, tt.hi); got != tt.want {
			t.Errorf("%s %v [%v, %v]: %q, want %q", tt.metric, tt.v, tt.lo, tt.hi, got, tt.want)
		}
	}
	if got, want := (Style{ASCII: true}).Interval("total_ns", 5e3, 4.5e3, 6e3), "4.50-6.00 us"; got != want {
		t.Errorf("ASCII: %q, want %q", got, want)
	}
}

func TestEnds(t *testing.T) {
	for _, tt := range [][3]string{
		{"68.0 ms", "41.1–140 ms", "41.1–140"},
		{"5.00 s", "12.0 ms–6.00 s", "12.0 ms–6.00 s"},
		{"15.5", "15–16", "15–16"},
		{"-5.00 µs", "-6.00 to 2.00 µs", "-6.00 to 2.00 µs"},
	} {
		if got := Ends(tt[0], tt[1]); got != tt[2] {
			t.Errorf("%s, %s: %q, want %q", tt[0], tt[1], got, tt[2])
		}
	}
}
