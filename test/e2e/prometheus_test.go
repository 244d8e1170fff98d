// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/common/model"
)

// promServer is a Prometheus of a test, on a port of its own on loopback and with its
// data in the test's folder.
type promServer struct{ url string }

// startServer starts one with a configuration's text.
func startServer(t *testing.T, program, config string, flags ...string) promServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen := l.Addr().String()
	_ = l.Close()
	ctx, cancel := context.WithCancel(context.Background())
	args := append([]string{"--config.file", write(t, "prometheus.yml", config), "--storage.tsdb.path", t.TempDir(), "--web.listen-address", listen, "--log.level", "warn"}, flags...)
	cmd := exec.CommandContext(ctx, program, args...)
	var log buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("prometheus:\n%s", log.String())
		}
	})
	return promServer{"http://" + listen}
}

// native switches native histograms on.
const native = "--enable-feature=native-histograms"

// ready waits until it answers.
func (s promServer) ready(t *testing.T) promServer {
	t.Helper()
	if why := within(patience(30*time.Second), func() string {
		resp, err := http.Get(s.url + "/-/ready")
		if err != nil {
			return err.Error()
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return resp.Status
		}
		return ""
	}); why != "" {
		t.Fatalf("prometheus is not ready: %s", why)
	}
	return s
}

// get asks the API and decodes what it gives as data.
func (s promServer) get(path string, query url.Values, data any) error {
	resp, err := http.Get(s.url + path + "?" + query.Encode())
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var answer struct {
		Error string
		Data  json.RawMessage
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return err
	}
	if answer.Error != "" {
		return fmt.Errorf("%s: %s", resp.Status, answer.Error)
	}
	return json.Unmarshal(answer.Data, data)
}

// vector is an expression's value now.
func (s promServer) vector(expression string) (model.Vector, error) {
	var data struct{ Result model.Vector }
	err := s.get("/api/v1/query", url.Values{"query": {expression}}, &data)
	return data.Result, err
}

// one is the value of an expression that has one series.
func (s promServer) one(expression string) (float64, error) {
	v, err := s.vector(expression)
	if err == nil && len(v) != 1 {
		err = fmt.Errorf("%d series", len(v))
	}
	if err != nil {
		return 0, err
	}
	return float64(v[0].Value), nil
}

// found counts the points of an expression that say something: values that are numbers,
// and histograms that hold something.
func (s promServer) found(expression string, from time.Time, instant bool) (int, error) {
	path, q := "/api/v1/query_range", url.Values{"query": {expression}, "start": {seconds(from)}, "end": {seconds(time.Now())}, "step": {"1"}}
	if instant {
		path, q = "/api/v1/query", url.Values{"query": {expression}}
	}
	type point [2]any
	var data struct {
		Result []struct {
			Value      point
			Values     []point
			Histogram  point
			Histograms []point
		}
	}
	if err := s.get(path, q, &data); err != nil {
		return 0, err
	}
	n := 0
	for _, series := range data.Result {
		for _, p := range append(series.Values, series.Value) {
			text, _ := p[1].(string)
			if f, err := strconv.ParseFloat(text, 64); err == nil && !math.IsNaN(f) {
				n++
			}
		}
		for _, p := range append(series.Histograms, series.Histogram) {
			h, _ := p[1].(map[string]any)
			if count, _ := h["count"].(string); count != "" && count != "0" {
				n++
			}
		}
	}
	return n, nil
}

func seconds(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1e3, 'f', 3, 64) }
