// SPDX-License-Identifier: Apache-2.0

package statuspage

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ukprobe/ukprobe/internal/csp"
)

func aPage() Page {
	return Page{Title: "ukprobe run <b>1</b>", Version: "1.2.3", Subtitle: "Booting \"x\"", Done: 3, Of: 9,
		Facts: []Fact{{"Host", "<script>alert(1)</script>"}}, Links: []Link{{"/metrics", "Metrics"}},
		Tables: []Table{{Caption: "Cells", Columns: []string{"cell", "median"}, Figures: []int{1}, Rows: []Row{{Cells: []string{"a & b", "1ms"}}, {Cells: []string{"it", ""}, Now: true}}},
			{Caption: "None", Columns: []string{"cell"}, Empty: "No cells."}}}
}

func serve(t *testing.T, show func() Page) (get func(path string) (*http.Response, string)) {
	t.Helper()
	mux := http.NewServeMux()
	Register(mux, 1, show, func() any { return map[string]int{"done": 3} })
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return func(path string) (*http.Response, string) {
		resp, err := http.Get(s.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		return resp, string(text)
	}
}

func TestPage(t *testing.T) {
	get := serve(t, aPage)
	resp, text := get("/")
	for _, want := range []string{"<title>ukprobe run &lt;b&gt;1&lt;/b&gt;</title>", "&lt;script&gt;alert(1)&lt;/script&gt;", "a &amp; b", `<td class="figure">1ms</td>`,
		`<progress max="9" value="3"`, `<a href="/metrics">Metrics</a>`, "No cells.", `<tr class="now" aria-current="true"><th scope="row">it</th>`, "prefers-color-scheme: dark", `<th scope="row">`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	// Nothing from elsewhere, and no script but its own, unchanged by the template.
	if m := regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(text, -1); len(m) != 2 || m[0][1] != "data:," || m[1][1] != "/metrics" {
		t.Errorf("addresses %v", m)
	}
	policy := resp.Header.Get("Content-Security-Policy")
	for _, part := range []struct{ tag, text string }{{"style", style}, {"script", script}} {
		if !strings.Contains(text, "<"+part.tag+">"+part.text+"</"+part.tag+">") || !strings.Contains(policy, csp.Hash(part.text)) {
			t.Errorf("the %s is not as it was hashed: %s\n%s", part.tag, policy, text)
		}
	}
	if !strings.HasPrefix(policy, "default-src 'none'") || resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", resp.Header)
	}
}

func TestJSON(t *testing.T) {
	get := serve(t, aPage)
	resp, text := get("/status.json")
	var got map[string]int
	if err := json.Unmarshal([]byte(text), &got); err != nil || got["done"] != 3 || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%v, %s, %v", err, text, resp.Header)
	}
	if resp, _ := get("/other"); resp.StatusCode != http.StatusNotFound {
		t.Errorf("/other: %s", resp.Status)
	}
}

// While as many as may be are being made, another reader is told so.
func TestBusy(t *testing.T) {
	in, on := make(chan struct{}), make(chan struct{})
	get := serve(t, func() Page { close(in); <-on; return aPage() })
	done := make(chan int)
	go func() { resp, _ := get("/"); done <- resp.StatusCode }()
	<-in
	if resp, _ := get("/status.json"); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("%s", resp.Status)
	}
	close(on)
	if code := <-done; code != http.StatusOK {
		t.Errorf("the first one: %d", code)
	}
}

// slow is a reader that takes nothing until it is told to.
type slow struct {
	http.ResponseWriter
	in, on chan struct{}
}

func (s slow) Write(p []byte) (int, error) {
	close(s.in)
	<-s.on
	return s.ResponseWriter.Write(p)
}

// A reader that does not read keeps no other away.
func TestSlowReader(t *testing.T) {
	for _, path := range []string{"/", "/status.json"} {
		mux := http.NewServeMux()
		Register(mux, 1, aPage, func() any { return 1 })
		reader := slow{httptest.NewRecorder(), make(chan struct{}), make(chan struct{})}
		done := make(chan struct{})
		go func() {
			defer close(done)
			mux.ServeHTTP(reader, httptest.NewRequest(http.MethodGet, path, nil))
		}()
		<-reader.in
		other := httptest.NewRecorder()
		mux.ServeHTTP(other, httptest.NewRequest(http.MethodGet, path, nil))
		if other.Code != http.StatusOK || other.Body.Len() == 0 {
			t.Errorf("%s: %d", path, other.Code)
		}
		close(reader.on)
		<-done
	}
}

// browse is what a real browser has of a page some seconds later, and what it has to say.
func browse(t *testing.T, handler http.Handler) (dom, log string) {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium: apt-get install chromium")
	}
	s := httptest.NewServer(handler)
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-extensions", "--user-data-dir="+t.TempDir(),
		"--enable-logging=stderr", "--virtual-time-budget=20000", "--dump-dom", s.URL+"/")
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	return string(out), said.String()
}

// changing is a page that is another one every time.
func changing() *http.ServeMux {
	var made atomic.Int64
	mux := http.NewServeMux()
	Register(mux, 4, func() Page {
		p := aPage()
		p.Subtitle = fmt.Sprintf("made %d times", made.Add(1))
		p.Tables[1].Empty = strings.Repeat("wide", 1000)
		return p
	}, func() any { return nil })
	return mux
}

// In a real browser the page refreshes itself, and nothing of it is against its own
// policy.
func TestBrowser(t *testing.T) {
	dom, log := browse(t, changing())
	m := regexp.MustCompile(`made (\d+) times`).FindStringSubmatch(dom)
	if m == nil || m[1] == "1" {
		t.Errorf("it shows %v", m)
	}
	if strings.Contains(log, "Content Security Policy") || strings.Contains(log, "CONSOLE") {
		t.Errorf("the browser has something to say:\n%s", log)
	}
	if !regexp.MustCompile(`id="stale"[^>]*hidden`).MatchString(dom) {
		t.Errorf("it says that nobody answers:\n%s", dom)
	}
}

// visit is somebody who has scrolled a table and has the focus on it, and notes both later.
const visit = `<script>
const table = () => document.querySelectorAll(".scroll")[1];
table().focus();
table().scrollLeft = 77;
setInterval(() => {
  document.body.dataset.visit = document.querySelector(".subtitle").textContent + ", at " + table().scrollLeft + ", focus " + (document.activeElement === table());
}, 500);
</script></body>`

// What refreshes keeps the focus, and where a table was scrolled to.
func TestBrowserKeepsPlace(t *testing.T) {
	mux := changing()
	dom, _ := browse(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		made := httptest.NewRecorder() // without its policy, which would not allow the visit
		mux.ServeHTTP(made, r)
		w.Header().Set("Content-Type", made.Header().Get("Content-Type"))
		w.WriteHeader(made.Code)
		_, _ = io.WriteString(w, strings.Replace(made.Body.String(), "</body>", visit, 1))
	}))
	m := regexp.MustCompile(`data-visit="made (\d+) times, at 77, focus true"`).FindStringSubmatch(dom)
	if m == nil || m[1] == "1" {
		t.Errorf("%v: %v", m, regexp.MustCompile(`data-visit="[^"]*"`).FindString(dom))
	}
}
