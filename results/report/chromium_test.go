// SPDX-License-Identifier: Apache-2.0

package report

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/ukprobe/ukprobe/results"
)

// browser starts a headless Chromium in a network namespace of its own, in which there is
// nobody: it talks through a pipe.
func browser(t *testing.T) context.Context {
	t.Helper()
	for _, program := range []string{"chromium", "unshare"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("no %s in PATH: scripts/setup test installs it", program)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("not root: a network namespace needs it")
	}
	alone := filepath.Join(t.TempDir(), "chromium")
	if err := os.WriteFile(alone, []byte("#!/bin/sh\nexec unshare --net chromium \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(alone), chromedp.NoSandbox, chromedp.DisableGPU)
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	return ctx
}

// run does one thing in the browser.
func run[T any](t *testing.T, ctx context.Context, a chromedp.Action[T]) T {
	t.Helper()
	out, err := chromedp.Run(ctx, a)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// call sends one command of the protocol.
func call[P, R any](t *testing.T, ctx context.Context, command cdp.Command[P, R], params P) R {
	t.Helper()
	out, err := chromedp.Call(ctx, command, params)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// media sets the colour scheme that the page is told of.
func media(t *testing.T, ctx context.Context, scheme string) {
	t.Helper()
	call(t, ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
}

// heard is what a page asked for and complained of.
type heard struct {
	mu       sync.Mutex
	requests []string
	errors   []string
}

func (h *heard) listen(t *testing.T, ctx context.Context) {
	t.Helper()
	err := chromedp.Listen(ctx, func(ev any) {
		h.mu.Lock()
		defer h.mu.Unlock()
		switch e := ev.(type) {
		case *network.EventRequestWillBeSent:
			h.requests = append(h.requests, e.Request.URL)
		case *log.EventEntryAdded:
			h.errors = append(h.errors, e.Entry.Text)
		case *runtime.EventExceptionThrown:
			h.errors = append(h.errors, e.ExceptionDetails.Text)
		case *runtime.EventConsoleAPICalled:
			h.errors = append(h.errors, fmt.Sprint("console.", e.Type))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// shots is a folder that screenshots are kept in, for people: UKPROBE_REPORT_SHOTS.
func shots(t *testing.T) string {
	if dir := os.Getenv("UKPROBE_REPORT_SHOTS"); dir != "" {
		return dir
	}
	return t.TempDir()
}

// pagesToLookAt are the pages of the test's own run, and of runs that UKPROBE_REPORT_RUNS names.
func pagesToLookAt(t *testing.T) map[string]*Document {
	t.Helper()
	out := map[string]*Document{"everything": NewDocument(Source{"everything", everything()}), "nothing": NewDocument(Source{"nothing", &results.File{}})}
	out["everything"].Characterise(someFacts())
	for _, dir := range strings.Fields(os.Getenv("UKPROBE_REPORT_RUNS")) {
		f, err := results.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(dir)] = NewDocument(Source{f.Run.ID, f})
		out[filepath.Base(dir)].Characterise(someFacts())
	}
	return out
}

// someFacts are long words in many columns, as the systems' characteristics are.
func someFacts() []SystemFacts {
	var out []SystemFacts
	for _, system := range []string{"unikraft", "osv", "rump"} {
		s := SystemFacts{System: system}
		for i := range 8 {
			f := SystemFact{Name: fmt.Sprintf("optimisations %d", i), Text: "unused functions and data dropped (OPTIMIZE_DEADELIM), and more " + hostile, Sources: []string{"a source: example.invalid/" + system}}
			if i == 3 {
				f.Sources = nil
			}
			s.Facts = append(s.Facts, f)
		}
		out = append(out, s)
	}
	return out
}

func TestPageInChromium(t *testing.T) {
	ctx, dir := browser(t), shots(t)
	for name, doc := range pagesToLookAt(t) {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "report.html")
			out, err := os.Create(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := doc.HTML(out); err != nil {
				t.Fatal(err)
			}
			if err := out.Close(); err != nil {
				t.Fatal(err)
			}
			tab, cancel := chromedp.NewContext(ctx)
			defer cancel()
			h := new(heard)
			h.listen(t, tab)
			call(t, tab, network.Enable, network.EnableParams{})
			call(t, tab, log.Enable, cdp.Empty{})
			call(t, tab, runtime.Enable, cdp.Empty{})
			run(t, tab, chromedp.Navigate("file://"+file))
			for _, v := range []struct {
				name          string
				width, height int64
				dark          bool
			}{{"phone", 375, 800, false}, {"narrow", 320, 600, false}, {"desk", 1280, 900, false}, {"dark", 1280, 900, true}} {
				look(t, tab, filepath.Join(dir, name+"-"+v.name+".png"), v.width, v.height, v.dark)
			}
			tree(t, tab, doc)
			walk(t, tab)
			contrast(t, tab)
			paper(t, tab, filepath.Join(dir, name+".pdf"))
			h.mu.Lock()
			defer h.mu.Unlock()
			if want := []string{"file://" + file}; !slices.Equal(h.requests, want) {
				t.Errorf("the page asked for %q, want %q", h.requests, want)
			}
			if len(h.errors) > 0 {
				t.Errorf("the browser complains: %q", h.errors)
			}
		})
	}
}

// look takes a picture, and sees that nothing hangs over the side.
func look(t *testing.T, ctx context.Context, file string, width, height int64, dark bool) {
	t.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	media(t, ctx, scheme)
	run(t, ctx, chromedp.EmulateViewport(width, height))
	over := run(t, ctx, chromedp.Evaluate[[]string](overflows))
	background := run(t, ctx, chromedp.Evaluate[string](`getComputedStyle(document.body).backgroundColor`))
	png := run(t, ctx, chromedp.FullScreenshot(100))
	if len(over) > 0 {
		t.Errorf("%s, %d px: over the side: %q", filepath.Base(file), width, over)
	}
	if dark == (background == "rgb(255, 255, 255)") {
		t.Errorf("%s: background %s", filepath.Base(file), background)
	}
	if err := os.WriteFile(file, png, 0o644); err != nil {
		t.Fatal(err)
	}
}

// overflows lists what is wider than the page, not counting what scrolls in a box of its
// own, and labels of axes that lie over each other.
const overflows = `(() => {
  const out = [], width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width) out.push("the page: " + document.documentElement.scrollWidth);
  for (const e of document.querySelectorAll("body *")) {
    if (e.closest(".scroll, pre, .skip")) continue;
    const b = e.getBoundingClientRect();
    if (b.width && (b.right > width + 1 || b.left < -1)) out.push(e.tagName + "." + (e.className.baseVal ?? e.className) + ": " + e.textContent.slice(0, 40));
  }
  for (const svg of document.querySelectorAll("svg")) {
    const texts = [...svg.querySelectorAll("text")].map(e => [e.getBoundingClientRect(), e.textContent]).filter(([b]) => b.width);
    texts.forEach(([a, s], i) => texts.slice(i + 1).forEach(([b, r]) => {
      if (a.left < b.right && b.left < a.right && a.top + 1 < b.bottom && b.top + 1 < a.bottom) out.push("labels over each other: " + s + " and " + r);
    }));
  }
  return out.slice(0, 10);
})()`

// tree holds the accessibility tree against the document: every table with its name, every
// drawing with one, no control without.
func tree(t *testing.T, ctx context.Context, doc *Document) {
	t.Helper()
	nodes := call(t, ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{}).Nodes
	var tables []string
	for _, n := range nodes {
		if n.Ignored || n.Role == nil {
			continue
		}
		name := axText(n.Name)
		switch role := axText(n.Role); role {
		case "table":
			tables = append(tables, name)
			if name == "" {
				t.Error("a table has no name")
			}
		case "image", "img", "figure", "region", "link", "searchbox", "button":
			if name == "" {
				t.Errorf("a %s has no name: %v", role, n.Properties)
			}
		}
	}
	for i := range doc.Grids {
		g := &doc.Grids[i]
		if g.Absent == "" && !slices.ContainsFunc(tables, func(s string) bool { return strings.HasPrefix(s, g.Title) }) {
			t.Errorf("no table is named %q: %q", g.Title, tables)
		}
	}
}

func axText(v *accessibility.Value) string {
	if v == nil {
		return ""
	}
	var s string
	if json.Unmarshal(v.Value, &s) != nil {
		return string(v.Value)
	}
	return s
}

// walk goes through the page by keyboard: first to the skip link, then to every thing that
// can be gone to, and along the points of a strip.
func walk(t *testing.T, ctx context.Context) {
	t.Helper()
	run(t, ctx, chromedp.Evaluate[chromedp.Void](`document.activeElement.blur(); window.scrollTo(0, 0)`))
	run(t, ctx, chromedp.KeyEvent(kb.Tab))
	if first := run(t, ctx, chromedp.Evaluate[string](`document.activeElement.className`)); first != "skip" {
		t.Errorf("the first thing that Tab goes to is %q, want the skip link", first)
	}
	if !run(t, ctx, chromedp.Evaluate[bool](`!!document.querySelector("[data-points]")`)) {
		return
	}
	run(t, ctx, chromedp.Evaluate[chromedp.Void](`document.querySelector("[data-points]").focus()`))
	run(t, ctx, chromedp.KeyEvent(kb.ArrowRight))
	if said := run(t, ctx, chromedp.Evaluate[string](`document.getElementById("tip").textContent`)); !strings.HasPrefix(said, "sample 1: ") {
		t.Errorf("the arrow key says %q, want sample 1", said)
	}
	filter := func(words string) int {
		return run(t, ctx, chromedp.Evaluate[int](fmt.Sprintf(`(() => { const f = document.getElementById("filter"); f.value = %q; f.dispatchEvent(new Event("input")); document.activeElement.blur();
			return [...document.querySelectorAll("main tbody tr, main .rows li")].filter(e => !e.hidden).length })()`, words)))
	}
	if none, all := filter("no such guest"), filter(""); none != 0 || all == 0 {
		t.Errorf("of %d rows the filter leaves %d", all, none)
	}
}

// contrast computes the contrast of every text with what is behind it (WCAG 2.2, 1.4.3),
// in both schemes.
func contrast(t *testing.T, ctx context.Context) {
	t.Helper()
	for _, scheme := range []string{"light", "dark"} {
		media(t, ctx, scheme)
		low := run(t, ctx, chromedp.Evaluate[[]string](lowContrast))
		if len(low) > 0 {
			t.Errorf("%s: contrast below 4.5: %q", scheme, low)
		}
	}
}

const lowContrast = `(() => {
  const rgb = s => (s.match(/[\d.]+/g) || []).map(Number);
  const lum = c => { const [r, g, b] = c.slice(0, 3).map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const out = new Set();
  for (const e of document.querySelectorAll("body *")) {
    if (![...e.childNodes].some(n => n.nodeType == 3 && n.data.trim()) || ["SCRIPT", "TITLE", "title", "desc"].includes(e.tagName)) continue;
    const style = getComputedStyle(e), ink = rgb(e instanceof SVGElement ? style.fill : style.color);
    let back = [255, 255, 255];
    for (let p = e; p; p = p.parentElement) { const c = rgb(getComputedStyle(p).backgroundColor); if (c.length == 3 || c[3] > 0) { back = c; break; } }
    const [a, b] = [lum(ink), lum(back)].sort((x, y) => y - x), ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) out.add(e.tagName + "." + (e.className.baseVal ?? e.className) + " " + ratio.toFixed(2));
  }
  return [...out];
})()`

// paper prints the page.
func paper(t *testing.T, ctx context.Context, file string) {
	t.Helper()
	call(t, ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{})
	yes := true
	pdf := call(t, ctx, cdppage.PrintToPDF, cdppage.PrintToPDFParams{PrintBackground: &yes, PreferCSSPageSize: &yes}).Data
	if !strings.HasPrefix(string(pdf), "%PDF-") {
		t.Errorf("no PDF but %.20q", pdf)
	}
	if err := os.WriteFile(file, pdf, 0o644); err != nil {
		t.Fatal(err)
	}
}
