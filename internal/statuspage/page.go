// SPDX-License-Identifier: Apache-2.0

// Package statuspage is a small page for a person who opens the address that metrics are
// served on: a few facts, a few tables, links. It refreshes itself, loads nothing from
// elsewhere, and is as readable in the dark and on a phone; without JavaScript it is
// refreshed by the browser.
//
// It knows nothing of what the page says. All text may be hostile: it is escaped, and
// the page allows no script or style but its own.
package statuspage

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"html/template"
	"net/http"
	"slices"

	"github.com/ukprobe/ukprobe/internal/csp"
	"github.com/ukprobe/ukprobe/internal/plainjson"
)

// Page is what is shown.
type Page struct {
	Title, Version string
	Subtitle       string
	// Done and Of are how far something is; no bar without Of.
	Done, Of int
	What     string // they are
	Facts    []Fact
	Tables   []Table
	Links    []Link
}

// Fact is a thing with its name.
type Fact struct{ Name, Value string }

// Link leads to another page of the same server.
type Link struct{ Address, Text string }

// Table is one with a caption.
type Table struct {
	Caption string
	Columns []string
	Figures []int // columns that have figures, from 0
	Rows    []Row
	Empty   string // in place of rows, if there are none
}

// Row is one of a Table: its first cell is its name. The one that is Now is marked.
type Row struct {
	Cells []string
	Now   bool
}

//go:embed page.html
var source string

//go:embed page.css
var style string

//go:embed page.js
var script string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"style": func() template.CSS { return template.CSS(style) },
	"js":    func() template.JS { return template.JS(script) },
	"figure": func(t Table, column int) bool {
		return slices.Contains(t.Figures, column)
	},
}).Parse(source))

// policy allows what the page itself has.
var policy = "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; style-src " + csp.Hash(style) + "; script-src " + csp.Hash(script)

// Register adds "/" (and no address below it), with the page that show returns, and
// /status.json, with what status returns, to a server. Both are called for each request, at
// once for up to atOnce of them: who comes then gets 503. Who reads slowly keeps nobody
// else away.
func Register(mux *http.ServeMux, atOnce int, show func() Page, status func() any) {
	room := make(chan struct{}, atOnce)
	limited := func(kind string, text func() ([]byte, error)) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			select {
			case room <- struct{}{}:
			default:
				http.Error(w, "busy: try again", http.StatusServiceUnavailable)
				return
			}
			made, err := func() ([]byte, error) {
				defer func() { <-room }()
				return text()
			}()
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			header(w, kind)
			_, _ = w.Write(made) // the reader may be gone
		}
	}
	mux.HandleFunc("GET /{$}", limited("text/html; charset=utf-8", func() ([]byte, error) {
		var text bytes.Buffer
		err := page.Execute(&text, show())
		return text.Bytes(), err
	}))
	mux.HandleFunc("GET /status.json", limited("application/json", func() ([]byte, error) {
		text, err := json.MarshalIndent(status(), "", "  ")
		return append(plainjson.Escape(text), '\n'), err
	}))
}

func header(w http.ResponseWriter, kind string) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Security-Policy", policy)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Referrer-Policy", "no-referrer")
}
