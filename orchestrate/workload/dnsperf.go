// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/ukprobe/ukprobe/guests/linux"
	"github.com/ukprobe/ukprobe/orchestrate/matrix"
)

// Dnsperf is dnsperf (DNS-OARC), for DNS over UDP: questions for the IPv4 address of each
// name of a zone in turn. As many are on their way as there are connections times
// pipeline; the next one is sent when one is answered (closed loop), or by a rate.
//
// It tells quantiles of the latency only by printing each answer, which costs it more
// than the question does. So there are two runs: of the first is the rate, of the second
// are the quantiles. With a rate of the matrix one run has both.
type Dnsperf struct{}

const dnsperf = "dnsperf"

// Program implements Generator.
func (Dnsperf) Program() Program { return Program{dnsperf, "dnsperf", []string{"-H"}} }

// Check implements Generator.
func (Dnsperf) Check(w matrix.Workload) error {
	switch {
	case w.Requests > 0:
		return errors.New("dnsperf runs for a time, not for a number of requests: use load.duration in place of load.requests")
	case w.Connections < w.Threads:
		return fmt.Errorf("dnsperf wants at least as many sockets (load.connections: %d) as threads (%d)", w.Connections, w.Threads)
	case w.Connections*w.Pipeline > maxOutstanding:
		return fmt.Errorf("dnsperf has at most %d questions on their way: load.connections times load.pipeline are %d", maxOutstanding, w.Connections*w.Pipeline)
	}
	return nil
}

// maxOutstanding is how many questions can be told apart: an identifier has 16 bits (RFC
// 1035, 4.1.1).
const maxOutstanding = 1 << 16

// Load implements Generator.
func (g Dnsperf) Load(ctx context.Context, b Bench, t netip.AddrPort, w matrix.Workload) error {
	if w.Warmup > 0 {
		if _, err := b.Run(ctx, g.command("dnsperf-warmup", t, w, w.Warmup)); err != nil {
			return err
		}
	}
	if w.Rate > 0 {
		c, answers := g.verbose(dnsperf, t, w)
		return b.Measure(ctx, "", c, answers.figures)
	}
	c, answers := g.verbose("dnsperf-latency", t, w)
	r, err := b.Run(ctx, c)
	if err != nil {
		return err
	}
	first, err := readDnsperf(r.Stdout)
	if err != nil {
		return err
	}
	if first.Errors*100 > first.Requests {
		return fmt.Errorf("%s: %d errors beside %d good answers: %s", c.Name, first.Errors, first.Requests, first.Trouble)
	}
	return b.Measure(ctx, "", g.command(dnsperf, t, w, w.Duration), func(r Ran) (Figures, error) {
		f, err := answers.figures(r)
		f.Apart = first.PerSecond
		if first.Errors > 0 {
			f.Notes = append(f.Notes, c.Name+": "+first.Trouble)
		}
		return f, err
	})
}

const queryFile = "queries"

func (Dnsperf) command(name string, t netip.AddrPort, w matrix.Workload, d time.Duration) Command {
	argv := []string{dnsperf, "-s", t.Addr().String(), "-p", strconv.Itoa(int(t.Port())), "-d", Dir + "/" + queryFile,
		"-c", strconv.Itoa(w.Connections), "-T", strconv.Itoa(w.Threads), "-q", strconv.Itoa(w.Connections * w.Pipeline),
		"-l", strconv.FormatFloat(d.Seconds(), 'f', -1, 64)}
	if w.Rate > 0 {
		argv = append(argv, "-Q", strconv.Itoa(w.Rate))
	}
	var queries strings.Builder
	for _, name := range linux.ZoneNames() {
		queries.WriteString(name + " A\n")
	}
	// Of each of its threads there are two, one that sends and one that receives.
	return Command{Name: name, Argv: argv, Threads: 2 * w.Threads, AtOnce: w.Connections * w.Pipeline, Files: map[string]string{queryFile: queries.String()}}
}

// verbose is a run that prints each answer.
func (g Dnsperf) verbose(name string, t netip.AddrPort, w matrix.Workload) (Command, answers) {
	c := g.command(name, t, w, w.Duration)
	c.Argv = append(c.Argv, "-v")
	a := answers{micros{}}
	c.Line = a.line
	return c, a
}

// answers are the latencies that dnsperf -v prints.
type answers struct{ micros }

// dnsAnswer is "> NOERROR host.ukprobe.test A 0.000959" (src/dnsperf.c, do_recv). One
// that is lost has a "T" in place of "NOERROR" and its time.
var dnsAnswer = regexp.MustCompile(`^> NOERROR \S+ \S+ (\d+)\.(\d{6})$`)

// line takes a line of the output, if it is an answer's.
func (a answers) line(text string) bool {
	if !strings.HasPrefix(text, "> ") {
		return false
	}
	m := dnsAnswer.FindStringSubmatch(text)
	if m == nil {
		return true // an error: it is in the statistics
	}
	if us, err := strconv.ParseUint(m[1]+m[2], 10, 32); err == nil {
		a.micros[uint32(us)]++
	}
	return true
}

// figures are the statistics of a run, with the quantiles of the answers.
func (a answers) figures(r Ran) (Figures, error) {
	f, err := readDnsperf(r.Stdout)
	if err == nil {
		a.into(&f)
	}
	return f, err
}

var (
	dnsCompleted = regexp.MustCompile(`(?m)^ +Queries completed: +(\d+) `)
	dnsLost      = regexp.MustCompile(`(?m)^ +Queries lost: +(\d+) `)
	dnsTook      = regexp.MustCompile(`(?m)^ +Run time \(s\): +([0-9.]+)$`)
	dnsLatency   = regexp.MustCompile(`(?m)^ +Average Latency \(s\): +([0-9.]+) \(min [0-9.]+, max ([0-9.]+)\)$`)
	dnsCodes     = regexp.MustCompile(`(?m)^ +Response codes: +(.*)$`)
	dnsCode      = regexp.MustCompile(`^([A-Z0-9]+) (\d+) \([0-9.]+%\)$`)
)

// readDnsperf reads the statistics (dnsperf 2.10.0, src/dnsperf.c, print_statistics).
// Answers that are no addresses are errors. Its mean and longest latencies are of them
// too.
func readDnsperf(text string) (f Figures, err error) {
	completed, lost, took, latency := dnsCompleted.FindStringSubmatch(text), dnsLost.FindStringSubmatch(text), dnsTook.FindStringSubmatch(text), dnsLatency.FindStringSubmatch(text)
	if completed == nil || lost == nil || took == nil || latency == nil {
		return f, errNoFigures(dnsperf, "number of queries", text)
	}
	n, err1 := strconv.ParseUint(completed[1], 10, 62)
	missing, err2 := strconv.ParseUint(lost[1], 10, 62)
	d, err3 := durationOf(took[1], time.Second)
	mean, err4 := durationOf(latency[1], time.Second)
	longest, err5 := durationOf(latency[2], time.Second)
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return f, fmt.Errorf("dnsperf's output: %w", err)
	}
	f = Figures{Errors: missing, Duration: d, Latency: map[string]time.Duration{}}
	var trouble []string
	if missing > 0 {
		trouble = append(trouble, fmt.Sprintf("%d without an answer", missing))
	}
	bad, words, err := dnsErrors(text, n)
	if err != nil {
		return f, err
	}
	f.Requests, f.Errors, f.Trouble = n-bad, f.Errors+bad, strings.Join(append(trouble, words...), ", ")
	if f.Requests > 0 {
		f.Latency["mean"], f.Latency["max"] = mean, longest
	}
	if d > 0 {
		f.PerSecond = float64(f.Requests) / d.Seconds()
	}
	return f, nil
}

// dnsErrors counts the answers with another code than NOERROR, of so many.
func dnsErrors(text string, answered uint64) (bad uint64, words []string, err error) {
	m := dnsCodes.FindStringSubmatch(text)
	if m == nil || strings.TrimSpace(m[1]) == "" {
		return 0, nil, nil
	}
	for field := range strings.SplitSeq(m[1], ", ") {
		code := dnsCode.FindStringSubmatch(strings.TrimSpace(field))
		if code == nil {
			return 0, nil, errNoFigures(dnsperf, "response codes", text)
		}
		n, err := strconv.ParseUint(code[2], 10, 62)
		if err != nil {
			return 0, nil, fmt.Errorf("dnsperf's output: %w", err)
		}
		if code[1] != "NOERROR" {
			bad += n
			words = append(words, code[2]+" "+code[1])
		}
	}
	if bad > answered {
		return 0, nil, fmt.Errorf("dnsperf's output: %d answers, and %d of them wrong", answered, bad)
	}
	return bad, words, nil
}
