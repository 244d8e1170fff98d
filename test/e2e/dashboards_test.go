// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ukprobe/ukprobe/dashboards/grafana"
	"github.com/ukprobe/ukprobe/results"
)

// noData are the queries that find nothing in TestDashboards, with the reason: by the
// dashboard, the panel and the query. One that finds something must not be here.
func noData(f *results.File) map[string]string {
	out := map[string]string{
		"overhead/Ratio to no probes/A":       "`ukprobe overhead` takes minutes and was not run for the test's state folder",
		"overhead/More than with no probes/A": "the same",
	}
	add := func(reason string, ids ...string) {
		for _, id := range ids {
			out[id] = reason
		}
	}
	if !sampled(f, "kvm_exits") {
		add("this KVM only emulates: its exits are no tracepoints", "exits/Exits by reason/A", "exits/Handling time/A",
			"exits/99 % of handling times by reason/A", "exits/Where the time between guest runs went/A",
			"exits/Median run of the guest at a stretch, by the exit that ended it/A")
	}
	if !sampled(f, "page_faults") {
		add("this KVM only emulates: it takes no page faults of guests", "boot/When the guest got its memory/A", "exits/Port accesses and page faults (watch)/B")
	}
	if text, err := os.ReadFile("/proc/sys/kernel/bpf_stats_enabled"); err != nil || strings.TrimSpace(string(text)) != "1" {
		add("the kernel's BPF statistics are off", "overhead/Time inside a program per run/A", "overhead/CPU time inside programs/A")
	}
	return out
}

// sampled tells whether any sample has a value.
func sampled(f *results.File, name string) bool {
	for _, c := range f.Cells {
		for _, s := range c.Samples {
			if _, ok := s.Values[name]; ok {
				return true
			}
		}
	}
	return false
}

// onlyIfWrong are the queries that find something only if a packet is lost, or a
// connection older than its watch: here they have to be valid. (That their metrics
// exist, and when, is tested in package probe.)
var onlyIfWrong = []string{"network/Unanswered/A", "network/Repeated/A", "network/Refused connections/A", "network/Frames not looked into/A", "network/TCP data of unknown connections/A"}

// dashboardRun has the cells of TestDashboards: enough samples that counters are seen to
// rise between scrapes, and a load.
func dashboardRun(t *testing.T, more ...string) *call {
	t.Helper()
	m := write(t, "matrix.yaml", `version: 1
cells:
  - {system: reference, app: http, platform: qemumicrovm, accel: kvm, probes: full, samples: 6, warmup: 0}
  - {system: reference, app: http, platform: qemumicrovm, accel: kvm, experiment: http, samples: 2, warmup: 0, load: {duration: 2s, warmup: 0, connections: 2, rate: 20}}
`)
	return newRun(t, append([]string{"--matrix", m, "--set", "interference.repeat=0"}, more...)...)
}

// Every query of every dashboard, with the variables as they are at first, finds
// something in a real Prometheus with our configuration, that scrapes a run and a watch:
// one with native histograms, and natively one that has none. In the hostvm exits have data,
// too. Every variable has values, every rule of ours that
// should have a value has one, and quantiles by PromQL are those of the samples in
// run.json to one bucket.
func TestDashboards(t *testing.T) {
	needRoot(t)
	needKVM(t)
	program, _ := prometheusPrograms(t)
	w, watched := watching(t, "--all", "--network", "--keep", "10m")
	c := dashboardRun(t, "--listen", "127.0.0.1:0", "--linger").start()
	c.waitFor("metrics: http://", patience(30*time.Second))
	address := regexp.MustCompile(`metrics: (http://127\.0\.0\.1:[0-9]+/metrics)`).FindStringSubmatch(c.stderr.String())[1]
	begun := time.Now()
	servers := map[string]promServer{"seconds": startServer(t, program, ourConfig(t, watched, address), native)}
	if !inside() { // the classic buckets of the same histograms are no kernel's matter
		servers["seconds_bucket"] = startServer(t, program, ourConfig(t, watched, address))
	}
	for _, s := range servers {
		s.ready(t)
	}
	c.waitFor("until Ctrl-C", patience(2*time.Minute))
	if inside() && (!sampled(c.file(), "kvm_exits") || !sampled(c.file(), "page_faults")) {
		t.Error("no exits or page faults, in the hostvm, where KVM has them: their panels are not tested")
	}
	for kind, s := range servers {
		// The last figures have been scraped, and rules been evaluated since.
		if why := within(patience(30*time.Second), func() string {
			n, err := s.one(`sum(ukprobe_samples_total{experiment="boot"})`)
			p, err2 := s.vector("cell_phase:ukprobe_boot_phase_seconds:p50")
			if err != nil || err2 != nil || n != 6 || len(p) == 0 {
				return fmt.Sprintf("%v samples, %v, rule %v, %v", n, err, p, err2)
			}
			return ""
		}); why != "" {
			t.Fatalf("%s: %s", kind, why)
		}
		checkVariables(t, s, kind)
		checkQueries(t, s, kind, begun, noData(c.file()))
		checkRules(t, s, kind)
		checkQuantiles(t, s, kind, c.file())
	}
	checkHistograms(t, servers["seconds"], c.file())
	checkPages(t, watched, address)
	_ = c.cmd.Process.Signal(syscall.SIGINT)
	c.wait(patience(5 * time.Second)).want(0)
	w.end()
}

// scrapeInterval is the seconds between two scrapes: under emulation one takes longer.
func scrapeInterval() int {
	if inside() {
		return 5
	}
	return 1
}

// ourConfig is the committed configuration with other addresses and a shorter interval.
func ourConfig(t *testing.T, watched, address string) string {
	t.Helper()
	text, err := os.ReadFile("../../dashboards/prometheus.yml")
	if err != nil {
		t.Fatal(err)
	}
	rules, err := filepath.Abs("../../dashboards/rules")
	if err != nil {
		t.Fatal(err)
	}
	host := func(address string) string {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		return u.Host
	}
	out, between := string(text), scrapeInterval()
	for from, to := range map[string]string{"127.0.0.1:9435": host(watched), "127.0.0.1:9436": host(address),
		"scrape_interval: 5s": fmt.Sprintf("scrape_interval: %ds\n  scrape_timeout: %[1]ds", between), "evaluation_interval: 15s": fmt.Sprintf("evaluation_interval: %ds", 2*between), "- rules/": "- " + rules + "/"} {
		if !strings.Contains(out, from) {
			t.Fatalf("dashboards/prometheus.yml has no %q any more", from)
		}
		out = strings.ReplaceAll(out, from, to)
	}
	return out
}

// committedDashboards are the files that people get, by the dashboard's name.
func committedDashboards(t *testing.T) map[string]grafana.Dashboard {
	t.Helper()
	paths, err := filepath.Glob("../../dashboards/json/*.json")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no dashboards: %v", err)
	}
	out := map[string]grafana.Dashboard{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var d grafana.Dashboard
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		out[strings.TrimPrefix(strings.TrimSuffix(filepath.Base(path), ".json"), "ukprobe-")] = d
	}
	return out
}

// checkVariables asks for the values of every variable as Grafana does.
func checkVariables(t *testing.T, s promServer, kind string) {
	t.Helper()
	call := regexp.MustCompile(`^label_values\((.*), (\w+)\)$`)
	for name, d := range committedDashboards(t) {
		for _, v := range d.Templating.List {
			if v.Type == "datasource" {
				continue
			}
			m := call.FindStringSubmatch(v.Query)
			if m == nil {
				t.Fatalf("%s: variable %s: %q", name, v.Name, v.Query)
			}
			var values []string
			if err := s.get("/api/v1/label/"+m[2]+"/values", url.Values{"match[]": {m[1]}}, &values); err != nil || len(values) == 0 {
				t.Errorf("%s, %s: variable %s: %v, %v", kind, name, v.Name, values, err)
			}
			if v.Name != "histograms" {
				continue
			}
			pattern := regexp.MustCompile(strings.Trim(v.Regex, "/"))
			for _, value := range values {
				if got := pattern.FindStringSubmatch(value); got == nil || got[1] != kind {
					t.Errorf("%s: variable %s takes %v of %s", kind, v.Name, got, value)
				}
			}
		}
	}
}

// checkQueries runs every query.
func checkQueries(t *testing.T, s promServer, kind string, begun time.Time, without map[string]string) {
	t.Helper()
	fill := strings.NewReplacer("$__rate_interval", fmt.Sprintf("%ds", 20*scrapeInterval()), "${histograms}", kind,
		"$job", ".*", "$system", ".*", "$app", ".*", "$platform", ".*", "$experiment", ".*", "$vm", ".*")
	n, empty := 0, []string{}
	for name, d := range committedDashboards(t) {
		for _, p := range d.Panels {
			for _, q := range p.Targets {
				id := name + "/" + p.Title + "/" + q.RefID
				expression := fill.Replace(q.Expr)
				if strings.Contains(expression, "$") {
					t.Fatalf("%s: a variable is left: %s", id, expression)
				}
				points, err := s.found(expression, begun, q.Instant)
				reason, expected := without[id]
				switch {
				case err != nil:
					t.Errorf("%s, %s: %v\n%s", kind, id, err, expression)
				case points == 0 && !expected && !slices.Contains(onlyIfWrong, id):
					t.Errorf("%s, %s: no data\n%s", kind, id, expression)
				case points > 0 && expected:
					t.Errorf("%s, %s: there is data, although %s", kind, id, reason)
				}
				delete(without, id)
				n++
				if points == 0 {
					empty = append(empty, id)
				}
			}
		}
	}
	for id := range without {
		t.Errorf("%s: no query %s", kind, id)
	}
	slices.Sort(empty)
	t.Logf("%s: %d queries, %d of them without data: %q", kind, n, len(empty), empty)
}

// checkRules: all of ours were loaded and evaluated without an error, and those that
// record have values.
func checkRules(t *testing.T, s promServer, kind string) {
	t.Helper()
	var data struct {
		Groups []struct {
			Rules []struct{ Name, Type, Health, LastError string }
		}
	}
	if err := s.get("/api/v1/rules", nil, &data); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, g := range data.Groups {
		for _, r := range g.Rules {
			kinds[r.Type]++
			if r.Health != "ok" {
				t.Errorf("%s: rule %s: %s %s", kind, r.Name, r.Health, r.LastError)
			}
			if r.Type != "recording" {
				continue
			}
			if v, err := s.vector(r.Name); err != nil || len(v) == 0 {
				t.Errorf("%s: rule %s: %v, %v", kind, r.Name, v, err)
			}
		}
	}
	if kinds["recording"] < 5 || kinds["alerting"] < 8 {
		t.Errorf("%s: rules %v", kind, kinds)
	}
}

// checkQuantiles holds quantiles by PromQL against the samples themselves. They are to be
// in the sample's bucket or the next one: 9 % wide for native histograms, 100 % for
// classic ones.
func checkQuantiles(t *testing.T, s promServer, kind string, f *results.File) {
	t.Helper()
	perOctave := map[string]float64{"seconds": 8, "seconds_bucket": 1}[kind]
	checked := 0
	for _, c := range f.Cells {
		for _, phase := range []string{"vmm", "guest", "total"} {
			var all []float64
			for _, sample := range c.Samples {
				if ns := sample.Phases.ByName()[phase+"_ns"]; ns != nil && sample.Status == results.SampleOK {
					all = append(all, float64(*ns)/1e9)
				}
			}
			slices.Sort(all)
			if len(all) == 0 {
				t.Errorf("%s: no %s", c.Name(), phase)
				continue
			}
			for _, q := range []float64{0.25, 0.5, 0.9} {
				by := ""
				if kind == "seconds_bucket" {
					by = "le"
				}
				got, err := s.one(fmt.Sprintf(`histogram_quantile(%g, sum by (%s) (ukprobe_boot_phase_%s{experiment=%q,phase=%q}))`, q, by, kind, c.Experiment, phase))
				exact := all[int(math.Ceil(q*float64(len(all))))-1]
				if buckets := math.Abs(math.Log2(got/exact)) * perOctave; err != nil || !(buckets <= 1.01) {
					t.Errorf("%s: %s, %s, quantile %g: %v by PromQL, %v of %v by run.json: %.2f buckets apart, %v", kind, c.Name(), phase, q, got, exact, all, buckets, err)
				}
				checked++
			}
		}
	}
	if checked == 0 {
		t.Errorf("%s: no quantile was checked", kind)
	}
}

// checkHistograms holds quantiles of the native histograms that the kernel counted
// against those that were stored at the end of the run.
func checkHistograms(t *testing.T, s promServer, f *results.File) {
	t.Helper()
	names := map[string]bool{}
	for _, c := range f.Cells {
		for _, h := range c.Histograms {
			selector := fmt.Sprintf("%s{experiment=%q", h.Name, c.Experiment)
			for k, v := range h.Labels {
				selector += fmt.Sprintf(",%s=%q", k, v)
			}
			selector += "}"
			if n, err := s.one("histogram_count(" + selector + ")"); err != nil || n != float64(h.Count) {
				t.Errorf("%s: %v observations by PromQL, %d by run.json, %v", selector, n, h.Count, err)
				continue
			}
			for _, q := range []float64{0.5, 0.99} {
				got, err := s.one(fmt.Sprintf("histogram_quantile(%g, %s)", q, selector))
				want := bucketOf(h, q)
				at := int(math.Ceil(math.Ldexp(math.Log2(got), int(h.Schema)) - 1e-6))
				if err != nil || at < want-1 || at > want+1 {
					t.Errorf("%s, quantile %g: %v, in bucket %d, by PromQL, %v; bucket %d by run.json", selector, q, got, at, err, want)
				}
			}
			names[h.Name] = true
		}
	}
	want := []string{"ukprobe_vmm_round_trip_seconds", "ukprobe_network_response_seconds"}
	if sampled(f, "kvm_exits") {
		want = append(want, "ukprobe_kvm_exit_handling_seconds", "ukprobe_guest_run_seconds", "ukprobe_vcpu_halted_seconds")
	}
	for _, name := range want {
		if !names[name] {
			t.Errorf("no histogram %s, only of %v", name, names)
		}
	}
}

// bucketOf is the index of the bucket that holds a quantile.
func bucketOf(h results.Histogram, q float64) int {
	rank, seen := uint64(math.Ceil(q*float64(h.Count))), h.ZeroCount
	for _, i := range slices.Sorted(maps.Keys(h.Buckets)) {
		if seen += h.Buckets[i]; seen >= rank {
			return int(i)
		}
	}
	return math.MaxInt32
}

// checkPages looks at what a person and a program see beside the metrics.
func checkPages(t *testing.T, watched, address string) {
	t.Helper()
	get := func(address, page string) string {
		resp, err := http.Get(strings.TrimSuffix(address, "/metrics") + page)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("%s%s: %s, %v", address, page, resp.Status, err)
		}
		return string(text)
	}
	var run struct {
		Status string
		Cells  []struct {
			OK     int
			Figure string
			Median float64
		}
	}
	if err := json.Unmarshal([]byte(get(address, "/status.json")), &run); err != nil || run.Status != results.RunOK || len(run.Cells) != 2 || run.Cells[0].OK != 6 || run.Cells[0].Figure != "total_ns" || run.Cells[0].Median <= 0 {
		t.Errorf("the run's status: %+v, %v", run, err)
	}
	if text := get(address, "/"); !strings.Contains(text, "The run has ended: ok.") || !strings.Contains(text, "reference/http on qemumicrovm") {
		t.Errorf("the run's page:\n%s", text)
	}
	var vms struct{ List []struct{ VM string } }
	if err := json.Unmarshal([]byte(get(watched, "/status.json")), &vms); err != nil || len(vms.List) < 8 {
		t.Errorf("the VMs that were seen: %+v, %v", vms, err)
	}
	if text := get(watched, "/"); strings.Count(text, "<td>ended</td>") < 8 {
		t.Errorf("the page of watch:\n%s", text)
	}
}

// The rules are valid, and each alert comes when it should and only then.
func TestRules(t *testing.T) {
	notOnTheKernel(t)
	_, promtool := prometheusPrograms(t)
	for _, args := range [][]string{{"check", "config", "prometheus.yml"}, {"check", "rules", "--lint-fatal", "rules/recording.yml", "rules/alerts.yml"}, {"test", "rules", "rules/alerts_test.yml"}} {
		cmd := exec.CommandContext(t.Context(), promtool, args...)
		cmd.Dir = "../../dashboards"
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, text)
		}
	}
	rules, err := os.ReadFile("../../dashboards/rules/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile("../../dashboards/rules/alerts_test.yml")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/dashboards.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(string(rules), -1) {
		if n := strings.Count(string(tests), "alertname: "+m[1]); n < 2 {
			t.Errorf("alert %s is tested %d times: want when it comes and when it does not", m[1], n)
		}
		if !strings.Contains(string(page), m[1]) {
			t.Errorf("docs/dashboards.md does not say what to do about %s", m[1])
		}
	}
}
