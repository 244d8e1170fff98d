// SPDX-License-Identifier: Apache-2.0

package remotewrite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/s2"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protowire"
)

// metrics are one of each kind.
func metrics(t *testing.T) []*dto.MetricFamily {
	t.Helper()
	r := prometheus.NewRegistry()
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "c_total", Help: "A counter."}, []string{"zone", "app", "empty"})
	c.WithLabelValues("z\"1", "a", "").Add(3)
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "g", Help: "A gauge.", ConstLabels: prometheus.Labels{"job": "own"}})
	g.Set(-1.5)
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "h_seconds", Help: "A histogram.", Buckets: []float64{0.5, 1}, NativeHistogramBucketFactor: 1.1})
	for _, v := range []float64{0, 0.4, 0.4, 0.7, 3} {
		h.Observe(v)
	}
	s := prometheus.NewSummary(prometheus.SummaryOpts{Name: "s_seconds", Help: "A summary.", Objectives: map[float64]float64{0.5: 0.05}})
	s.Observe(2)
	r.MustRegister(c, g, h, s)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// field is one of a message, as protowire gives it.
type field struct {
	number protowire.Number
	uint   uint64
	bytes  []byte
}

func fieldsOf(t *testing.T, b []byte) (out []field) {
	t.Helper()
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		b = b[n:]
		f := field{number: number}
		switch kind {
		case protowire.VarintType:
			f.uint, n = protowire.ConsumeVarint(b)
		case protowire.Fixed64Type:
			f.uint, n = protowire.ConsumeFixed64(b)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(b)
		default:
			t.Fatalf("field %d of kind %d", number, kind)
		}
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		b = b[n:]
		out = append(out, f)
	}
	return out
}

// seriesOf names the series of a request, with what they hold: sample or histogram.
func seriesOf(t *testing.T, body []byte) (out []string) {
	t.Helper()
	for _, f := range fieldsOf(t, body) {
		if f.number != requestSeries {
			continue
		}
		var labels []string
		holds := ""
		for _, part := range fieldsOf(t, f.bytes) {
			switch part.number {
			case seriesLabels:
				l := fieldsOf(t, part.bytes)
				labels = append(labels, fmt.Sprintf("%s=%q", l[0].bytes, l[1].bytes))
			case seriesSamples:
				holds += " sample"
			case seriesHist:
				holds += " histogram"
			}
		}
		out = append(out, strings.Join(labels, ",")+holds)
	}
	return out
}

func TestEncoding(t *testing.T) {
	at := time.UnixMilli(1234567890123)
	own := map[string]string{"job": "ukprobe", "instance": "host"}
	native := Encoding{Labels: own}.Requests(metrics(t), at)
	if len(native) != 1 {
		t.Fatalf("%d requests", len(native))
	}
	want := []string{
		`__name__="c_total",app="a",instance="host",job="ukprobe",zone="z\"1" sample`,
		`__name__="g",instance="host",job="own" sample`,
		`__name__="h_seconds",instance="host",job="ukprobe" histogram`,
		`__name__="s_seconds",instance="host",job="ukprobe",quantile="0.5" sample`,
		`__name__="s_seconds_sum",instance="host",job="ukprobe" sample`,
		`__name__="s_seconds_count",instance="host",job="ukprobe" sample`,
	}
	if diff := cmp.Diff(want, seriesOf(t, native[0])); diff != "" {
		t.Errorf("native (-want +got):\n%s", diff)
	}
	classic := Encoding{Labels: own, Classic: true}.Requests(metrics(t), at)
	var buckets []string
	for _, s := range seriesOf(t, classic[0]) {
		if strings.HasPrefix(s, `__name__="h_`) {
			buckets = append(buckets, s)
		}
	}
	if diff := cmp.Diff([]string{
		`__name__="h_seconds_bucket",instance="host",job="ukprobe",le="0.5" sample`,
		`__name__="h_seconds_bucket",instance="host",job="ukprobe",le="1" sample`,
		`__name__="h_seconds_bucket",instance="host",job="ukprobe",le="+Inf" sample`,
		`__name__="h_seconds_sum",instance="host",job="ukprobe" sample`,
		`__name__="h_seconds_count",instance="host",job="ukprobe" sample`,
	}, buckets); diff != "" {
		t.Errorf("classic (-want +got):\n%s", diff)
	}
}

// Many series take several requests; none is lost.
func TestManySeries(t *testing.T) {
	f := &dto.MetricFamily{Name: ptr("n"), Type: dto.MetricType_GAUGE.Enum()}
	for i := range maxSeries + 1 {
		f.Metric = append(f.Metric, &dto.Metric{Gauge: &dto.Gauge{Value: ptr(1.0)}, Label: []*dto.LabelPair{{Name: ptr("i"), Value: ptr(fmt.Sprint(i))}}})
	}
	n := 0
	bodies := Encoding{}.Requests([]*dto.MetricFamily{f}, time.Now())
	for _, b := range bodies {
		n += len(seriesOf(t, b))
	}
	if len(bodies) != 2 || n != maxSeries+1 {
		t.Errorf("%d series in %d requests", n, len(bodies))
	}
}

func ptr[T any](v T) *T { return &v }

// receiver answers as it is told and keeps what it got.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	text   string
	calls  int
	header http.Header
	series [][]string
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{status: http.StatusNoContent}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		packed, _ := io.ReadAll(req.Body)
		body, err := s2.Decode(nil, packed)
		if err != nil {
			t.Errorf("not snappy: %v", err)
		}
		r.header = req.Header
		r.calls++
		series := seriesOf(t, body)
		if r.text == "native histograms are disabled" && !strings.Contains(strings.Join(series, "\n"), " histogram") {
			r.series = append(r.series, series)
			w.WriteHeader(http.StatusNoContent)
			return
		}
		if r.status/100 == 2 {
			r.series = append(r.series, series)
		}
		if r.status/100 == 3 {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(r.status)
		_, _ = io.WriteString(w, r.text)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) answer(status int, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status, r.text = status, text
}

func (r *receiver) pushes() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.series)
}

func (r *receiver) asked() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls
}

func TestSend(t *testing.T) {
	r := newReceiver(t)
	c, err := New(Settings{URL: r.URL + "/api/v1/write?token=secret", Agent: "ukprobe/1"})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(c.String(), "secret") {
		t.Errorf("the address tells a secret: %s", c)
	}
	send := func() error { return c.Send(t.Context(), metrics(t), time.Now()) }
	if err := send(); err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]string{"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy", "X-Prometheus-Remote-Write-Version": "0.1.0", "User-Agent": "ukprobe/1"} {
		if got := r.header.Get(k); got != want {
			t.Errorf("%s: %q, want %q", k, got, want)
		}
	}
	for _, tc := range []struct {
		status int
		text   string
		want   string
	}{
		{400, "out of order sample", "400 Bad Request: out of order sample"},
		{401, "", "are the credentials right?"},
		{404, "404 page not found\nmore", "is the path right?"},
		{404, "remote write receiver needs to be enabled with --web.enable-remote-write-receiver\n", "--web.enable-remote-write-receiver"},
		{302, "", "it is elsewhere: /elsewhere"},
		{429, "too many", "429 Too Many Requests: too many"},
		{500, "out of \x1b[31mspace", "500 Internal Server Error: out of ?[31mspace"},
	} {
		r.answer(tc.status, tc.text)
		kind := ErrRefused
		if tc.status == 429 || tc.status >= 500 {
			kind = ErrNotNow
		}
		if err := send(); !errors.Is(err, kind) || errors.Is(err, ErrRefused) && errors.Is(err, ErrNotNow) || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%d %q: %v, want %q", tc.status, tc.text, err, tc.want)
		}
	}
	r.answer(500, "native histograms are disabled")
	if err := send(); err != nil || !c.Classic() {
		t.Errorf("a receiver without native histograms: %v, classic %v", err, c.Classic())
	}
	r.answer(204, "")
	if err := send(); err != nil || strings.Contains(strings.Join(r.series[len(r.series)-1], "\n"), " histogram") {
		t.Errorf("later: %v, %v", err, r.series[len(r.series)-1])
	}
	r.Close()
	if err := send(); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("nobody there: %v", err)
	}
}

func TestNew(t *testing.T) {
	dir := t.TempDir()
	config := func(text string) string {
		path := filepath.Join(dir, fmt.Sprintf("%x.yml", text[:min(8, len(text))]))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, tc := range []struct{ url, config, want string }{
		{"localhost:9090", "", "want http://HOST:PORT/PATH"},
		{"/api/v1/write", "", "want http://HOST:PORT/PATH"},
		{"ftp://host/x", "", "want http://HOST:PORT/PATH"},
		{"http://me:hunter2@host/x", "", "put user and password into a file"},
		{"http://me:hunter2@host:port/x", "", "cannot be read"},
		{"http://host/x", filepath.Join(dir, "none.yml"), "no such file"},
		{"http://host/x", config("basic_auth: {user: me}"), "not found in type"},
		{"http://host/x", config("tls_config: {ca_file: gone.pem}"), "gone.pem"},
	} {
		if _, err := New(Settings{URL: tc.url, Config: tc.config}); err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s %s: %v, want %q and no password", tc.url, tc.config, err, tc.want)
		}
	}
}

// Credentials are read from a file beside the configuration, and anew when they change.
func TestCredentials(t *testing.T) {
	r := newReceiver(t)
	dir := t.TempDir()
	put := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("push.yml", "basic_auth: {username: me, password_file: password}\n")
	put("password", "first\n")
	c, err := New(Settings{URL: r.URL, Config: filepath.Join(dir, "push.yml")})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"first", "second"} {
		put("password", want)
		if err := c.Send(t.Context(), metrics(t), time.Now()); err != nil {
			t.Fatal(err)
		}
		req := http.Request{Header: r.header}
		if user, got, ok := req.BasicAuth(); !ok || user != "me" || got != want {
			t.Errorf("%s %s, want me %s", user, got, want)
		}
	}
}

// logged keeps what is said.
type logged struct {
	mu    sync.Mutex
	lines []string
}

func (l *logged) Log(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

func (l *logged) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

func newPusher(t *testing.T, r *receiver, every time.Duration) (*Pusher, *logged) {
	t.Helper()
	c, err := New(Settings{URL: r.URL})
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "g", Help: "A gauge."}))
	l := &logged{}
	return &Pusher{Client: c, Gatherer: registry, Every: every, Log: l.Log}, l
}

// A receiver that is away for a while is told of twice, and the end has everything.
func TestPusherGap(t *testing.T) {
	r := newReceiver(t)
	r.answer(503, "starting up")
	p, l := newPusher(t, r, time.Millisecond)
	p.Start()
	wait(t, l, "it is tried again every 1ms")
	r.answer(204, "")
	wait(t, l, "works again after")
	if err := p.Finish(t.Context(), 10*time.Second); err != nil {
		t.Error(err)
	}
	if n := strings.Count(l.text(), "starting up"); n != 1 {
		t.Errorf("it was told %d times:\n%s", n, l.text())
	}
	if !strings.Contains(l.text(), "the final figures were delivered; ") {
		t.Errorf("the gap is not told at the end:\n%s", l.text())
	}
	n := r.pushes()
	if err := p.Finish(t.Context(), time.Second); err != nil || r.pushes() != n {
		t.Errorf("a second Finish pushed again: %v", err)
	}
}

func wait(t *testing.T, l *logged, text string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !strings.Contains(l.text(), text); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not said: %q in\n%s", text, l.text())
		}
	}
}

// The final figures are tried again, but for a refusal, and what becomes of them is said.
func TestPusherFinish(t *testing.T) {
	r := newReceiver(t)
	p, l := newPusher(t, r, time.Hour)
	p.Start()
	for end := time.Now().Add(30 * time.Second); r.pushes() == 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	if r.pushes() != 1 {
		t.Fatalf("%d pushes at the start", r.pushes())
	}
	r.answer(503, "away")
	time.AfterFunc(50*time.Millisecond, func() { r.answer(204, "") })
	if err := p.Finish(t.Context(), 30*time.Second); err != nil || r.pushes() != 2 {
		t.Errorf("%v after %d pushes\n%s", err, r.pushes(), l.text())
	}

	p, l = newPusher(t, r, time.Hour)
	r.answer(401, "")
	p.Start()
	asked := r.asked()
	begin := time.Now()
	err := p.Finish(t.Context(), time.Hour) // a second try would come after two minutes
	if !errors.Is(err, ErrRefused) || !strings.Contains(l.text(), "the final figures were NOT delivered: refused: 401 Unauthorized") {
		t.Errorf("%v\n%s", err, l.text())
	}
	if d := time.Since(begin); d > 30*time.Second || r.asked() > asked+2 {
		t.Errorf("a refusal is answered by trying again: %d times, for %v", r.asked()-asked, d)
	}
}

// While something is measured no push begins; a push that is due comes with its end, even
// if the next measurement begins at once.
func TestPusherBetween(t *testing.T) {
	r := newReceiver(t)
	p, _ := newPusher(t, r, time.Millisecond)
	p.Begin()
	p.Start()
	for n := 1; n <= 5; n++ {
		for end := time.Now().Add(30 * time.Second); r.pushes() < n; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d pushes, want %d", r.pushes(), n)
			}
		}
		for waits := false; !waits; time.Sleep(time.Millisecond) {
			p.mu.Lock()
			waits = p.due != nil
			p.mu.Unlock()
		}
		if time.Sleep(20 * time.Millisecond); r.pushes() != n {
			t.Errorf("%d pushes, want %d: one came while something was measured", r.pushes(), n)
		}
		p.End()
		p.Begin()
	}
	if err := p.Finish(t.Context(), 30*time.Second); err != nil { // it was interrupted: no End
		t.Error(err)
	}
}

// A receiver that takes a connection and never answers holds nobody up.
func TestPusherSilence(t *testing.T) {
	silent := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-silent }))
	defer s.Close()
	defer close(silent)
	c, err := New(Settings{URL: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	l := &logged{}
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "g", Help: "A gauge."}))
	p := &Pusher{Client: c, Gatherer: registry, Every: time.Hour, Log: l.Log}
	p.Start()
	if err := p.Finish(t.Context(), 50*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v\n%s", err, l.text())
	}
}

func TestNoPusher(t *testing.T) {
	var p *Pusher
	p.Begin()
	p.End()
	if err := p.Finish(t.Context(), time.Second); err != nil {
		t.Error(err)
	}
}

// TestRefusalIsClean: neither the status nor the answer of a receiver paints.
func TestRefusalIsClean(t *testing.T) {
	for _, code := range []int{302, 400, 401, 404, 500} {
		err := refusal(&http.Response{StatusCode: code, Status: "400 \x1b[2J\u009b\u202eBad", Header: http.Header{"Location": {"\x1b\u202e"}}}, "\x1b[31mno\u202e")
		if strings.ContainsAny(err.Error(), "\x1b\u009b\u202e") || !strings.Contains(err.Error(), "400 ?[2J??Bad") {
			t.Errorf("%d: %q", code, err)
		}
	}
}
