// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// serving serves the bench's VMs and returns a function that gets a page.
func serving(t *testing.T, b *bench, config string) (get func(path string, as ...string) (int, string), stop func() error) {
	t.Helper()
	return servingLog(t, b, config, slog.New(slog.DiscardHandler))
}

// servingLog is serving with a log; no connection is used twice.
func servingLog(t *testing.T, b *bench, config string, log *slog.Logger) (get func(path string, as ...string) (int, string), stop func() error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	s := Server{Listener: l, WebConfig: config, Version: "1.2.3", Log: log}
	go func() { done <- s.Serve(ctx, b.w) }()
	scheme := "http"
	if config != "" {
		scheme = "https"
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, Timeout: 10 * time.Second}
	get = func(path string, as ...string) (int, string) {
		req, err := http.NewRequest(http.MethodGet, scheme+"://"+l.Addr().String()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(as) == 1 {
			req.Host = as[0]
		}
		if len(as) == 2 {
			req.SetBasicAuth(as[0], as[1])
		}
		resp, err := client.Do(req)
		if err != nil {
			return 0, err.Error()
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	return get, func() error { client.CloseIdleConnections(); cancel(); return <-done }
}

func TestServe(t *testing.T) {
	b := newBench(t).start(Words{All: true}, Options{})
	b.set(1, someCounts())
	b.come(1, 10, 1)
	get, stop := serving(t, b, "")
	for path, want := range map[string]string{
		"/":        `<a href="/metrics">Metrics</a>`,
		"/metrics": `ukprobe_kvm_exits_total{isa="svm",reason="io",vm="unknown-10"} 5`,
		"/healthz": "ok\n",
	} {
		if code, body := get(path); code != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d, want %q in\n%s", path, code, want, body)
		}
	}
	if code, body := get("/metrics", "evil.example"); code != http.StatusMisdirectedRequest {
		t.Errorf("a foreign name: %d %s", code, body)
	}
	for _, path := range []string{"/nothing", "/debug/pprof/"} {
		if code, _ := get(path); code != http.StatusNotFound {
			t.Errorf("%s: %d", path, code)
		}
	}
	b.w.lastBeat.Store(time.Now().Add(-time.Hour).UnixNano())
	b.w.beatEvery = time.Hour
	if err := stop(); err != nil {
		t.Error(err)
	}
	if code, body := get("/metrics"); code != 0 {
		t.Errorf("after the end: %d %s", code, body)
	}
}

func TestUnhealthy(t *testing.T) {
	b := newBench(t)
	b.w = newWatcher(b.fakeSource, Options{}, b.proc) // not run
	get, stop := serving(t, b, "")
	if code, _ := get("/healthz"); code != http.StatusOK {
		t.Errorf("at first: %d", code)
	}
	b.w.lastBeat.Store(time.Now().Add(-time.Minute).UnixNano())
	if code, body := get("/healthz"); code != http.StatusServiceUnavailable {
		t.Errorf("a minute later: %d %s", code, body)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestWebConfig: TLS and basic authentication of the exporter toolkit.
func TestWebConfig(t *testing.T) {
	dir := t.TempDir()
	certificate(t, dir)
	// bcrypt of "secret", cost 4.
	const hash = "$2b$04$j0nufW.smsm/vhDPuljgeOyHFThh56nOvPZPiZqUvs6A4k643TL8S"
	config := filepath.Join(dir, "web.yaml")
	text := fmt.Sprintf("tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\nbasic_auth_users:\n  prometheus: %q\n", hash)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := CheckWebConfig(config); err != nil {
		t.Fatal(err)
	}
	b := newBench(t).start(Words{All: true}, Options{})
	get, stop := serving(t, b, config)
	for _, path := range []string{"/metrics", "/", "/healthz"} {
		if code, _ := get(path); code != http.StatusUnauthorized {
			t.Errorf("%s without a password: %d", path, code)
		}
	}
	if code, _ := get("/metrics", "prometheus", "wrong"); code != http.StatusUnauthorized {
		t.Errorf("wrong password: %d", code)
	}
	if code, body := get("/metrics", "prometheus", "secret"); code != http.StatusOK || !strings.Contains(body, "ukprobe_vms 0") {
		t.Errorf("right password: %d\n%s", code, body)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	for name, text := range map[string]string{"unknown.yaml": "tls: {}", "nokey.yaml": "tls_server_config: {cert_file: cert.pem}", "users.yaml": "basic_auth_users: {a: plain}"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := CheckWebConfig(path); err == nil || !strings.Contains(err.Error(), "--web-config "+path) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := CheckWebConfig(filepath.Join(dir, "none")); err == nil {
		t.Error("a file that is not there")
	}
}

// TestWebConfigBecomesInvalid: somebody who overwrites it is told, once.
func TestWebConfigBecomesInvalid(t *testing.T) {
	dir := t.TempDir()
	certificate(t, dir)
	config := filepath.Join(dir, "web.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const good = "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n"
	write(good)
	b := newBench(t).start(Words{All: true}, Options{})
	text := &logText{}
	get, stop := servingLog(t, b, config, slog.New(slog.NewTextHandler(text, nil)))
	if code, body := get("/healthz"); code != http.StatusOK {
		t.Fatalf("%d %s", code, body)
	}
	for _, tt := range []struct{ text, err string }{{"{junk", "yaml: "}, {"basic_auth_users: {}\n", "TLS config is not present"},
		{"tls_server_config: {cert_file: cert.pem, key_file: gone.pem}", "gone.pem: no such file"}} {
		write(tt.text)
		for range 3 {
			if code, _ := get("/healthz"); code != 0 {
				t.Errorf("%q: answered with %d", tt.text, code)
			}
		}
		waitFor(t, "a warning of "+tt.err, func() bool { return strings.Contains(text.String(), tt.err) })
	}
	write(good)
	if code, body := get("/healthz"); code != http.StatusOK {
		t.Errorf("mended: %d %s", code, body)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if n := strings.Count(text.String(), "level=WARN"); n != 3 {
		t.Errorf("%d warnings, want 3:\n%s", n, text)
	}
}

func certificate(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	cert, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: cert}, "key.pem": {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLoopback(t *testing.T) {
	for address, want := range map[string]bool{"127.0.0.1": true, "127.8.0.1": true, "::1": true, "0.0.0.0": false, "::": false, "192.0.2.1": false} {
		if got := Loopback(&net.TCPAddr{IP: net.ParseIP(address)}); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
}
