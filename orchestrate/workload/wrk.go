// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ukprobe/ukprobe/orchestrate/matrix"
)

// Wrk is wrk (github.com/wg/wrk), for HTTP: a fixed number of connections, each of
// which sends its next request when it has the answer to the last one (closed loop).
type Wrk struct{}

// Program implements Generator.
func (Wrk) Program() Program { return Program{"wrk", "wrk", []string{"--version"}} }

// Check implements Generator.
func (Wrk) Check(w matrix.Workload) error {
	switch {
	case w.Requests > 0:
		return errors.New("wrk runs for a time, not for a number of requests: use load.duration in place of load.requests")
	case w.Connections < w.Threads:
		return fmt.Errorf("wrk wants at least as many connections (%d) as threads (%d)", w.Connections, w.Threads)
	}
	return nil
}

// Load implements Generator.
func (g Wrk) Load(ctx context.Context, b Bench, t netip.AddrPort, w matrix.Workload) error {
	if w.Warmup > 0 {
		if _, err := b.Run(ctx, g.command("wrk-warmup", t, w, w.Warmup)); err != nil {
			return err
		}
	}
	c, samples := g.measured(t, w)
	return b.Measure(ctx, "", c, func(r Ran) (Figures, error) { return samples.figures(r.Stdout) })
}

const scriptFile = "ukprobe.lua"

func (Wrk) command(name string, t netip.AddrPort, w matrix.Workload, d time.Duration) Command {
	argv := []string{"wrk", "--latency", "-t" + strconv.Itoa(w.Threads), "-c" + strconv.Itoa(w.Connections), fmt.Sprintf("-d%ds", seconds(d)), "http://" + t.String() + "/"}
	c := Command{Name: name, Threads: w.Threads, AtOnce: w.Connections / w.Threads * w.Threads * w.Pipeline, Argv: argv}
	if w.Pipeline > 1 {
		c.script(fmt.Sprintf(pipeline, w.Pipeline))
	}
	return c
}

// measured is the run that counts, which tells its samples.
func (g Wrk) measured(t netip.AddrPort, w matrix.Workload) (Command, *wrkSamples) {
	s := &wrkSamples{all: micros{}, connections: w.Connections, pipe: w.Pipeline}
	c := g.command("wrk", t, w, w.Duration)
	c.script(wrkSamplesScript)
	c.Line = s.line
	return c, s
}

// script has wrk run a script, after one that it may have.
func (c *Command) script(text string) {
	if c.Files == nil {
		c.Argv = slices.Insert(c.Argv, len(c.Argv)-1, "-s", Dir+"/"+scriptFile)
		c.Files = map[string]string{}
	}
	c.Files[scriptFile] += text
}

// pipeline makes wrk send so many requests at once: it counts those in what request()
// returns, and waits for all the answers (wrk 4.1, scripts/pipeline.lua).
const pipeline = `local all
init = function(args)
   local r = {}
   for i = 1, %d do r[i] = wrk.format() end
   all = table.concat(r)
end
request = function() return all end
`

var (
	wrkRequests = regexp.MustCompile(`(?m)^ *(\d+) requests in ([0-9.]+[a-z]+),`)
	wrkSocket   = regexp.MustCompile(`(?m)^ *Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)$`)
	wrkStatus   = regexp.MustCompile(`(?m)^ *Non-2xx or 3xx responses: (\d+)$`)
	wrkRate     = regexp.MustCompile(`(?m)^Requests/sec: +([0-9.]+)$`)
)

// figures are what wrk printed, with the latencies of the samples that it has told.
func (s *wrkSamples) figures(text string) (f Figures, err error) {
	if f, err = readWrk(text); err != nil {
		return f, err
	}
	timeouts := uint64(0)
	if m := wrkSocket.FindStringSubmatch(text); m != nil {
		timeouts, err = strconv.ParseUint(m[4], 10, 62)
	}
	s.into(&f, timeouts)
	return f, err
}

// readWrk reads what wrk prints, but for the latencies (wrk 4.1.0, src/wrk.c main).
func readWrk(text string) (f Figures, err error) {
	total, rate := wrkRequests.FindStringSubmatch(text), wrkRate.FindStringSubmatch(text)
	if total == nil || rate == nil {
		return f, errNoFigures("wrk", "number of requests", text)
	}
	answered, err1 := strconv.ParseUint(total[1], 10, 63)
	took, err2 := wrkTime(total[2])
	perSecond, err3 := strconv.ParseFloat(rate[1], 64)
	if err := errors.Join(err1, err2, err3); err != nil {
		return f, fmt.Errorf("wrk's output: %w", err)
	}
	f = Figures{Requests: answered, Duration: took, PerSecond: perSecond}
	return f, f.wrkErrors(text)
}

// wrkErrors counts answers with a status of 400 and more as errors: they are in the
// number of requests, from which they are taken.
func (f *Figures) wrkErrors(text string) error {
	var trouble []string
	count := func(name, digits string) error {
		n, err := strconv.ParseUint(digits, 10, 62)
		if err != nil {
			return fmt.Errorf("wrk's output: %w", err)
		}
		if n > 0 {
			f.Errors += n
			trouble = append(trouble, digits+" "+name)
		}
		return nil
	}
	if m := wrkSocket.FindStringSubmatch(text); m != nil {
		for i, name := range []string{"connects that failed", "reads that failed", "writes that failed", "answers after more than 2 s"} {
			if err := count(name, m[i+1]); err != nil {
				return err
			}
		}
	}
	if m := wrkStatus.FindStringSubmatch(text); m != nil {
		before := f.Errors
		if err := count("answers with a status that is not 2xx or 3xx", m[1]); err != nil {
			return err
		}
		bad := min(f.Errors-before, f.Requests)
		if f.Requests > 0 {
			f.PerSecond *= float64(f.Requests-bad) / float64(f.Requests)
		}
		f.Requests -= bad
	}
	f.Trouble = strings.Join(trouble, ", ")
	return nil
}

// wrkTime reads a time as wrk writes it (src/units.c).
func wrkTime(text string) (time.Duration, error) {
	i := strings.IndexFunc(text, func(r rune) bool { return r >= 'a' && r <= 'z' })
	if i < 0 {
		return 0, fmt.Errorf("time %q has no unit", text)
	}
	units := map[string]time.Duration{"us": time.Microsecond, "ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour}
	unit, ok := units[text[i:]]
	if !ok {
		return 0, fmt.Errorf("time %q has an unknown unit", text)
	}
	return durationOf(text[:i], unit)
}

// durationOf is a decimal number of a unit.
func durationOf(digits string, unit time.Duration) (time.Duration, error) {
	v, err := strconv.ParseFloat(digits, 64)
	if err != nil {
		return 0, err
	}
	const most = 1 << 62
	if ns := v * float64(unit); ns >= 0 && ns < most {
		return time.Duration(ns + 0.5), nil
	}
	return 0, fmt.Errorf("time %s × %v is out of range", digits, unit)
}
