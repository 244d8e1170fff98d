// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ukprobe/ukprobe/results"
)

// A run that nobody scrapes is in Prometheus after its end: its samples are counted, its
// histograms are native ones and have its quantiles. A server that has these switched off
// has them as classic ones.
func TestPush(t *testing.T) {
	needRoot(t)
	needKVM(t)
	needNative(t, "a server under emulation says nothing more")
	program, _ := prometheusPrograms(t)
	for name, tc := range map[string]struct {
		flags  []string
		metric string
		by     string
		bucket float64 // per octave
		says   string
	}{
		"native":  {[]string{native}, "ukprobe_boot_phase_seconds", "job, instance", 8, ""},
		"classic": {nil, "ukprobe_boot_phase_seconds_bucket", "le, job, instance", 1, "it has native histograms switched off"},
	} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, program, "{}\n", append(tc.flags, "--web.enable-remote-write-receiver")...).ready(t)
			m := matrix(t, "system: reference, app: hello, platform: qemumicrovm, accel: kvm, args: 'pio=10', probes: full")
			c := newRun(t, "--matrix", m, "--samples", itoa(served), "--set", "interference.repeat=0", "--push", s.url+"/api/v1/write").run().want(0).says(tc.says)
			for query, want := range map[string]float64{
				`sum(ukprobe_samples_total{job="ukprobe-push",status="ok"})`:                             served,
				`sum(ukprobe_run_steps_done)`:                                                            served,
				`count(ukprobe_hook_info{hook="kvm_pio"})`:                                               1,
				`count(count by (instance) (ukprobe_samples_total{instance!=""}))`:                       1,
				strings.ReplaceAll(`count(count by (job) (METRIC{phase="total"}))`, "METRIC", tc.metric): 1,
			} {
				if got, err := s.one(query); err != nil || got != want {
					t.Errorf("%s = %v, %v, want %v", query, got, err, want)
				}
			}
			var totals []float64
			for _, sample := range c.file().Cells[0].Samples {
				if sample.Status == results.SampleOK {
					totals = append(totals, float64(*sample.Phases.TotalNs)/1e9)
				}
			}
			slices.Sort(totals)
			exact := totals[(len(totals)-1)/2]
			got, err := s.one(fmt.Sprintf(`histogram_quantile(0.5, sum by (%s) (%s{phase="total"}))`, tc.by, tc.metric))
			if apart := math.Abs(math.Log2(got/exact)) * tc.bucket; err != nil || !(apart <= 1.01) {
				t.Errorf("the median: %v, %v; by run.json %v of %v: %.2f buckets apart", got, err, exact, totals, apart)
			}
			trips := strings.Replace(tc.metric, "boot_phase", "vmm_round_trip", 1)
			if n, err := s.vector(trips); err != nil || len(n) == 0 {
				t.Errorf("%s: %v, %v", trips, n, err)
			}
			if strings.Contains(c.stderr.String(), "not delivered") || strings.Contains(c.stderr.String(), "NOT delivered") {
				t.Errorf("something is said to be missing:\n%s", c.stderr.String())
			}
		})
	}
}

// Nobody takes what is pushed: the run is what it is without, and says so at the end.
func TestPushNobody(t *testing.T) {
	needRoot(t)
	needKVM(t)
	notOnTheKernel(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + l.Addr().String() + "/api/v1/write"
	_ = l.Close()
	m := matrix(t, "system: reference, app: hello, platform: qemumicrovm, accel: kvm, args: 'pio=10'")
	c := newRun(t, "--matrix", m, "--samples", "2", "--set", "interference.repeat=0", "--push", url).start().wait(patience(90 * time.Second)).want(0)
	c.says("push to "+url+": dial tcp", "it is tried again every 15s, and the run goes on", "the final figures were NOT delivered")
	if n := strings.Count(c.stderr.String(), "push to"); n != 2 {
		t.Errorf("%d times:\n%s", n, c.stderr.String())
	}
	if f := c.file(); f.Run.Status != results.RunOK || f.Cells[0].OKSamples() != 2 {
		t.Errorf("%s, %d samples", f.Run.Status, f.Cells[0].OKSamples())
	}
}

// A receiver that wants a password gets it from a file, and what is wrong with it is said
// by what the receiver answers. After Ctrl-C the final figures are delivered too.
func TestPushCredentials(t *testing.T) {
	needRoot(t)
	needKVM(t)
	needNative(t, "a server under emulation says nothing more")
	program, _ := prometheusPrograms(t)
	// bcrypt of "secret", cost 4.
	users := write(t, "web.yml", "basic_auth_users: {me: $2b$04$j0nufW.smsm/vhDPuljgeOyHFThh56nOvPZPiZqUvs6A4k643TL8S}\n")
	s := startServer(t, program, "{}\n", native, "--web.enable-remote-write-receiver", "--web.config.file", users)
	with := strings.Replace(s.url, "http://", "http://me:secret@", 1)
	reader := promServer{with}.ready(t)
	config := write(t, "push.yml", "basic_auth: {username: me, password_file: password}\n")
	password := filepath.Join(filepath.Dir(config), "password")
	m := matrix(t, "system: reference, app: hello, platform: qemumicrovm, accel: kvm, args: 'pio=10'")
	run := func(samples string) *call {
		return newRun(t, "--matrix", m, "--samples", samples, "--set", "interference.repeat=0", "--push", s.url+"/api/v1/write", "--push-config", config)
	}
	if err := os.WriteFile(password, []byte("wrong"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := run("1").start().wait(patience(90*time.Second)).want(0).says("refused: 401 Unauthorized", "are the credentials right?", "NOT delivered")
	if n, err := reader.vector("ukprobe_run_info"); err != nil || len(n) != 0 || strings.Contains(c.output(), "secret") {
		t.Errorf("without the password: %v, %v", n, err)
	}
	if err := os.WriteFile(password, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c = run("1000").start()
	c.waitFor("3/1000:", patience(time.Minute))
	_ = c.cmd.Process.Signal(syscall.SIGINT)
	c.wait(patience(30 * time.Second)).want(exitInterrupted)
	stored := len(c.file().Cells[0].Samples)
	if n, err := reader.one(`sum(ukprobe_samples_total)`); err != nil || n != float64(stored) || stored < 3 {
		t.Errorf("%v samples by PromQL, %d in run.json, %v\n%s", n, stored, err, c.stderr.String())
	}
}
