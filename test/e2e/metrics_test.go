// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
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

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/ukprobe/ukprobe/internal/deb"
)

// The forms in which a server may ask for metrics.
const (
	asText        = "text/plain;version=0.0.4"
	asOpenMetrics = "application/openmetrics-text;version=1.0.0"
	asProtobuf    = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
)

// families are what a run of the reference guest under KVM exports of its own.
var families = map[string]dto.MetricType{
	"ukprobe_boot_phase_seconds":         dto.MetricType_HISTOGRAM,
	"ukprobe_samples_total":              dto.MetricType_COUNTER,
	"ukprobe_kvm_userspace_exits_total":  dto.MetricType_COUNTER,
	"ukprobe_guest_network_frames_total": dto.MetricType_COUNTER,
	"ukprobe_guest_network_bytes_total":  dto.MetricType_COUNTER,
	"ukprobe_lost_events_total":          dto.MetricType_COUNTER,
	"ukprobe_hook_info":                  dto.MetricType_GAUGE,
	"ukprobe_hook_fired_total":           dto.MetricType_COUNTER,
	"go_goroutines":                      dto.MetricType_GAUGE,
	"process_cpu_seconds_total":          dto.MetricType_COUNTER,
}

const served = 3 // samples

// lingering runs the reference guest with metrics and waits until it lingers.
func lingering(t *testing.T) (c *call, address string) {
	t.Helper()
	needRoot(t)
	needKVM(t)
	m := matrix(t, "system: reference, app: hello, platform: qemumicrovm, accel: kvm, args: 'pio=10'")
	c = newRun(t, "--matrix", m, "--samples", itoa(served), "--listen", "127.0.0.1:0", "--linger").start()
	c.waitFor("metrics: http://", patience(20*time.Second))
	address = regexp.MustCompile(`metrics: (http://127\.0\.0\.1:[0-9]+/metrics)`).FindStringSubmatch(c.stderr.String())[1]
	return c, address
}

// Metrics are there while it runs, with native histograms for those who can take
// them and classic ones for all, and stay until Ctrl-C with --linger.
func TestMetrics(t *testing.T) {
	c, address := lingering(t)
	during := scrape(t, address, asText)
	if during["ukprobe_hook_info"] == nil {
		t.Errorf("while it runs there are only %v", slices.Sorted(maps.Keys(during)))
	}
	c.waitFor("until Ctrl-C", patience(30*time.Second))
	for _, form := range []string{asText, asProtobuf} {
		checkFamilies(t, form, scrape(t, address, form))
	}
	if body, _ := fetch(t, address, asOpenMetrics); !bytes.HasSuffix(body, []byte("# EOF\n")) || !bytes.Contains(body, []byte("ukprobe_boot_phase_seconds_bucket{")) {
		t.Errorf("not OpenMetrics, or nothing of ours in it:\n%s", body)
	}
	if inside() {
		checkExitHistogram(t, scrape(t, address, asProtobuf))
	}
	// The host is already put back.
	if left := leftOf(t, c); len(left) > 0 {
		t.Errorf("on the host while it lingers: %v", left)
	}
	_ = c.cmd.Process.Signal(syscall.SIGINT)
	c.wait(patience(5 * time.Second)).want(0)
	if _, err := http.Get(address); err == nil {
		t.Error("still served after the end")
	}
}

// scrape fetches the metrics in one form.
func scrape(t *testing.T, address, accept string) map[string]*dto.MetricFamily {
	t.Helper()
	body, format := fetch(t, address, accept)
	out := map[string]*dto.MetricFamily{}
	d := expfmt.NewDecoder(bytes.NewReader(body), format)
	for {
		f := new(dto.MetricFamily)
		if err := d.Decode(f); errors.Is(err, io.EOF) {
			return out
		} else if err != nil {
			t.Fatalf("%s: %v\n%s", accept, err, body)
		}
		out[f.GetName()] = f
	}
}

func fetch(t *testing.T, address, accept string) ([]byte, expfmt.Format) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	kind, _, _ := strings.Cut(accept, ";")
	if err != nil || res.StatusCode != http.StatusOK || !strings.HasPrefix(res.Header.Get("Content-Type"), kind) {
		t.Fatalf("%s: %s, %s, %v\n%s", accept, res.Status, res.Header.Get("Content-Type"), err, body)
	}
	return body, expfmt.ResponseFormat(res.Header)
}

func checkFamilies(t *testing.T, form string, got map[string]*dto.MetricFamily) {
	t.Helper()
	for name, kind := range families {
		f := got[name]
		if f == nil || f.GetType() != kind || f.GetHelp() == "" || len(f.Metric) == 0 {
			t.Errorf("%s: %s: %v, want a %v with help and series", form, name, f, kind)
		}
	}
	phases := got["ukprobe_boot_phase_seconds"]
	if phases == nil {
		t.Fatalf("%s: no ukprobe_boot_phase_seconds", form)
	}
	var seen []string
	for _, m := range phases.Metric {
		seen = append(seen, label(m, "phase"))
		if l := label(m, "system") + "/" + label(m, "app") + "/" + label(m, "platform") + "/" + label(m, "experiment") + " " + label(m, "accel"); l != "reference/hello/qemumicrovm/boot kvm" {
			t.Errorf("%s: labels of the cell: %s", form, l)
		}
		checkHistogram(t, form+": phase "+label(m, "phase"), m.GetHistogram(), served, form == asProtobuf)
	}
	slices.Sort(seen)
	if want := []string{"firmware", "guest", "total", "vmm"}; !slices.Equal(seen, want) {
		t.Errorf("%s: phases %v, want %v", form, seen, want)
	}
}

// checkHistogram checks count and sum, classic buckets, and, if native, the native
// ones, which must hold every observation.
func checkHistogram(t *testing.T, what string, h *dto.Histogram, count uint64, native bool) {
	t.Helper()
	if h.GetSampleCount() != count || h.GetSampleSum() <= 0 {
		t.Errorf("%s: %d observations, sum %v, want %d", what, h.GetSampleCount(), h.GetSampleSum(), count)
	}
	if len(h.Bucket) < 5 {
		t.Errorf("%s: %d classic buckets", what, len(h.Bucket))
	}
	var last uint64
	for _, b := range h.Bucket {
		if b.GetCumulativeCount() < last || b.GetCumulativeCount() > count {
			t.Errorf("%s: classic buckets do not accumulate: %v", what, h.Bucket)
		}
		last = b.GetCumulativeCount()
	}
	if !native {
		return
	}
	sum, bucket := h.GetZeroCount(), int64(0)
	for _, delta := range h.PositiveDelta {
		bucket += delta
		sum += uint64(bucket)
	}
	if len(h.PositiveSpan) == 0 || sum != count {
		t.Errorf("%s: native buckets hold %d of %d observations (schema %d)", what, sum, count, h.GetSchema())
	}
}

// checkExitHistogram: where KVM has hardware behind it, the handling time of exits
// is there by reason, computed in the kernel.
func checkExitHistogram(t *testing.T, got map[string]*dto.MetricFamily) {
	t.Helper()
	f := got["ukprobe_kvm_exit_handling_seconds"]
	if f == nil {
		t.Fatal("no ukprobe_kvm_exit_handling_seconds")
	}
	for _, m := range f.Metric {
		h := m.GetHistogram()
		checkHistogram(t, "exits "+label(m, "reason"), h, h.GetSampleCount(), true)
		if label(m, "reason") == "io" && h.GetSampleCount() < served*(10+100) || label(m, "isa") != "svm" {
			t.Errorf("exits %v: %d observations", m.Label, h.GetSampleCount())
		}
	}
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.Label {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// prometheusPrograms are prometheus and promtool: those of the machine, or
// Debian's, unpacked and not installed (a package that starts a server is not
// installed for a test).
func prometheusPrograms(t *testing.T) (server, promtool string) {
	t.Helper()
	server, err1 := exec.LookPath("prometheus")
	promtool, err2 := exec.LookPath("promtool")
	if err1 == nil && err2 == nil {
		return server, promtool
	}
	if inside() {
		t.Skipf("no prometheus, and inside there is no network to fetch Debian's package: apt-get install prometheus outside (%v, %v)", err1, err2)
	}
	cache, err := filepath.Abs("../../.cache")
	if err != nil {
		t.Fatal(err)
	}
	f := deb.Fetcher{Dir: filepath.Join(cache, "deb"), Logf: t.Logf}
	pkgs, err := f.Download(t.Context(), "prometheus")
	if err != nil {
		t.Skipf("no prometheus and promtool, and Debian's package cannot be had: %v", err)
	}
	dir := filepath.Join(cache, "prometheus", pkgs[0].Version)
	if _, err := os.Stat(dir); err != nil {
		fresh := dir + ".new"
		if err := deb.Unpack(t.Context(), pkgs[0], fresh); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(fresh, dir); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "usr/bin/prometheus"), filepath.Join(dir, "usr/bin/promtool")
}

// Prometheus' own tools find nothing wrong with names, units and help, and a real
// server takes the native histograms and answers queries on them.
func TestPrometheus(t *testing.T) {
	needNative(t, "a server under emulation says nothing more")
	server, promtool := prometheusPrograms(t)
	c, address := lingering(t)
	c.waitFor("until Ctrl-C", patience(30*time.Second))
	body, _ := fetch(t, address, asText)
	check := exec.CommandContext(t.Context(), promtool, "check", "metrics")
	check.Stdin = bytes.NewReader(body)
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	query := startServer(t, server, fmt.Sprintf("global: {scrape_interval: 500ms}\nscrape_configs:\n  - job_name: ukprobe\n    static_configs: [{targets: ['%s']}]\n", u.Host), native).one
	labels := `system="reference",app="hello",platform="qemumicrovm",experiment="boot",accel="kvm"`
	for _, q := range []struct {
		query string
		want  func(float64) bool
	}{
		{`sum(ukprobe_samples_total{status="ok",` + labels + `})`, func(v float64) bool { return v == served }},
		{`histogram_count(ukprobe_boot_phase_seconds{phase="total",` + labels + `})`, func(v float64) bool { return v == served }},
		{`histogram_quantile(0.5, ukprobe_boot_phase_seconds{phase="total",` + labels + `})`, func(v float64) bool { return v > 0.001 && v < 30 }},
		{`ukprobe_hook_info{hook="kvm_pio"}`, func(v float64) bool { return v == 1 }},
	} {
		var v float64
		if why := eventually(func() string {
			var err error
			if v, err = query(q.query); err != nil {
				return err.Error()
			}
			return ""
		}); why != "" || !q.want(v) {
			t.Errorf("%s = %v: %s", q.query, v, why)
		}
	}
	_ = c.cmd.Process.Signal(syscall.SIGINT)
	c.wait(patience(5 * time.Second)).want(0)
}
