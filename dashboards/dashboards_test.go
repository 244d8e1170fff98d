// SPDX-License-Identifier: Apache-2.0

package dashboards

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// The committed files are what the code makes, no more and no fewer.
func TestCommitted(t *testing.T) {
	paths, err := filepath.Glob("json/*.json")
	if err != nil {
		t.Fatal(err)
	}
	all := All()
	if len(paths) != len(all) {
		t.Errorf("%d files of %d dashboards: run go generate ./dashboards", len(paths), len(all))
	}
	for name, d := range all {
		committed, err := os.ReadFile(filepath.Join("json", name))
		if err != nil {
			t.Error(err)
			continue
		}
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(decode(t, committed), decode(t, text)); diff != "" {
			t.Errorf("%s: run go generate ./dashboards (-committed +made):\n%s", name, diff)
		}
	}
}

func decode(t *testing.T, text []byte) any {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Every panel has a place of its own, an ID, a title and queries of variables that
// there are; no two panels of a dashboard have one title, as tests name them by it.
func TestPanels(t *testing.T) {
	variable := regexp.MustCompile(`\$\{?([a-z_]+)\}?`)
	builtin := []string{"__rate_interval", "__range"}
	for name, d := range All() {
		var known []string
		for _, v := range d.Templating.List {
			known = append(known, v.Name)
		}
		used := map[string]bool{}
		taken := map[[2]int]string{}
		ids, titles := map[int]bool{}, map[string]bool{}
		for _, p := range d.Panels {
			if p.Title == "" || ids[p.ID] || titles[p.Title] {
				t.Errorf("%s: panel %d %q: no title, or one that is there already", name, p.ID, p.Title)
			}
			ids[p.ID], titles[p.Title] = true, true
			for x := range p.GridPos.W {
				for y := range p.GridPos.H {
					at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
					if other, is := taken[at]; is || at[0] >= 24 {
						t.Errorf("%s: %s lies on %q, or beyond the edge, at %v", name, p.Title, other, at)
					}
					taken[at] = p.Title
				}
			}
			if (p.Type == "row") != (len(p.Targets) == 0) {
				t.Errorf("%s: %s: %d queries of a %s", name, p.Title, len(p.Targets), p.Type)
			}
			for _, target := range p.Targets {
				for _, m := range variable.FindAllStringSubmatch(target.Expr, -1) {
					used[m[1]] = true
					if !slices.Contains(known, m[1]) && !slices.Contains(builtin, m[1]) {
						t.Errorf("%s: %s: no variable %s", name, p.Title, m[1])
					}
				}
				if target.Instant == target.Range {
					t.Errorf("%s: %s: instant %v and range %v", name, p.Title, target.Instant, target.Range)
				}
			}
		}
		if !used["job"] {
			t.Errorf("%s: no query asks for the job that was chosen", name)
		}
	}
}

// Every metric that a query, a rule or an alert asks for is documented.
func TestDocumented(t *testing.T) {
	var docs []byte
	for _, page := range []string{"../docs/metrics.md", "../docs/watch.md"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		docs = append(docs, text...)
	}
	var queries []string
	for _, d := range All() {
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				queries = append(queries, target.Expr)
			}
		}
	}
	for _, path := range []string{"rules/recording.yml", "rules/alerts.yml"} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		queries = append(queries, regexp.MustCompile(`[a-z_]+:ukprobe_[a-z0-9_:]+`).ReplaceAllString(string(text), ""))
	}
	names := map[string]bool{}
	for _, q := range queries {
		for _, name := range regexp.MustCompile(`\bukprobe_[a-z_]+[a-z]`).FindAllString(strings.ReplaceAll(q, "_${histograms}", "_seconds"), -1) {
			for _, part := range []string{"_bucket", "_count"} {
				name = strings.TrimSuffix(name, part)
			}
			names[name] = true
		}
	}
	for name := range names {
		if !bytes.Contains(docs, []byte("`"+name+"`")) && !bytes.Contains(docs, []byte("`"+name+"{")) {
			t.Errorf("%s is in no table of docs/metrics.md or docs/watch.md", name)
		}
	}
	if len(names) < 30 {
		t.Errorf("only %d metrics were found: %v", len(names), names)
	}
}

// The dashboards hold against Grafana's own schemas, which are not ours to keep: with
// UKPROBE_GRAFANA_SCHEMAS naming a folder that has jsonschema/*.jsonschema.json of
// github.com/grafana/grafana-foundation-sdk.
func TestSchema(t *testing.T) {
	dir := os.Getenv("UKPROBE_GRAFANA_SCHEMAS")
	if dir == "" {
		t.Skip("UKPROBE_GRAFANA_SCHEMAS names no folder with Grafana's schemas")
	}
	schema := func(kind, definition string) *jsonschema.Schema {
		text, err := os.ReadFile(filepath.Join(dir, kind+".jsonschema.json"))
		if err != nil {
			t.Fatal(err)
		}
		doc, compiler := decode(t, text), jsonschema.NewCompiler()
		relax(doc)
		if err := compiler.AddResource(kind, doc); err != nil {
			t.Fatal(err)
		}
		s, err := compiler.Compile(kind + "#/definitions/" + definition)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	dashboard, query := schema("dashboard", "Dashboard"), schema("prometheus", "Dataquery")
	for name, d := range All() {
		valid(t, name, dashboard, d)
		for _, p := range d.Panels {
			if p.Type == "row" {
				continue
			}
			valid(t, name+" "+p.Title, schema(p.Type, "Options"), p.Options)
			if p.FieldConfig.Defaults.Custom != nil {
				valid(t, name+" "+p.Title+", fields", schema(p.Type, "FieldConfig"), p.FieldConfig.Defaults.Custom)
			}
			for _, target := range p.Targets {
				valid(t, name+" "+p.Title+", query", query, target)
			}
		}
	}
	// The schemas are closed: what they do not know is found.
	if query.Validate(map[string]any{"expr": "up", "refId": "A", "unheard": true}) == nil {
		t.Error("a query with an unknown word is valid")
	}
}

// relax undoes what the schemas' generator does to "any value": it writes that as an
// object with any properties.
func relax(v any) {
	switch v := v.(type) {
	case map[string]any:
		if more, ok := v["additionalProperties"].(map[string]any); ok && len(more) == 0 && v["properties"] == nil {
			delete(v, "type")
		}
		for _, x := range v {
			relax(x)
		}
	case []any:
		for _, x := range v {
			relax(x)
		}
	}
}

func valid(t *testing.T, what string, s *jsonschema.Schema, v any) {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(decode(t, text)); err != nil {
		t.Errorf("%s: %v", what, err)
	}
}
