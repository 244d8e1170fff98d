// SPDX-License-Identifier: Apache-2.0

package grafana

import (
	"fmt"
	"slices"
)

// gridWidth is the width of a dashboard.
const gridWidth = 24

// Builder puts panels beside each other, from left to right and then below.
type Builder struct {
	Source *Datasource // of every query
	panels []Panel
	x, y   int
	height int // of the line of panels that is being filled
}

// Row begins a new line under a heading.
func (b *Builder) Row(title string) {
	b.newLine()
	open := false
	b.panels = append(b.panels, Panel{ID: b.id(), Type: "row", Title: title, Collapsed: &open, Panels: &[]Panel{},
		GridPos: GridPos{H: 1, W: gridWidth, Y: b.y}})
	b.y++
}

// Add puts a panel beside the last one, or below where there is no room.
func (b *Builder) Add(p Panel, width, height int) {
	if b.x+width > gridWidth {
		b.newLine()
	}
	p.ID, p.Datasource, p.GridPos = b.id(), b.Source, GridPos{H: height, W: width, X: b.x, Y: b.y}
	for i := range p.Targets {
		t := &p.Targets[i]
		t.RefID, t.Datasource, t.EditorMode, t.Range = string(rune('A'+i)), b.Source, "code", !t.Instant
	}
	b.panels = append(b.panels, p)
	b.x += width
	b.height = max(b.height, height)
}

// Panels are those that were added.
func (b *Builder) Panels() []Panel { return b.panels }

func (b *Builder) id() int { return len(b.panels) + 1 }

func (b *Builder) newLine() { b.x, b.y, b.height = 0, b.y+b.height, 0 }

// TimeSeries draws lines.
func TimeSeries(title, description, unit string, targets ...Target) Panel {
	return Panel{Type: "timeseries", Title: title, Description: description, Targets: targets,
		FieldConfig: fields(unit, map[string]any{"lineWidth": 1, "fillOpacity": 10, "showPoints": "auto", "spanNulls": false}),
		Options: map[string]any{
			"legend":  map[string]any{"displayMode": "table", "placement": "bottom", "showLegend": true, "calcs": []string{"lastNotNull", "max"}},
			"tooltip": map[string]any{"mode": "multi", "sort": "desc"},
		}}
}

// Stacked is TimeSeries with the lines on top of each other.
func Stacked(title, description, unit string, targets ...Target) Panel {
	p := TimeSeries(title, description, unit, targets...)
	custom := p.FieldConfig.Defaults.Custom
	custom["fillOpacity"], custom["stacking"] = 40, map[string]any{"group": "A", "mode": "normal"}
	return p
}

// Heatmap draws the buckets of a histogram over time, native or classic ones, durations
// in seconds.
func Heatmap(title, description string, target Target) Panel {
	target.Format, target.LegendFormat = "heatmap", "{{le}}"
	return Panel{Type: "heatmap", Title: title, Description: description, Targets: []Target{target},
		FieldConfig: fields("", map[string]any{"scaleDistribution": map[string]any{"type": "linear"}}),
		Options: HeatmapOptions{
			Color:   HeatmapColor{Mode: "scheme", Scheme: "Oranges", Fill: "dark-orange", Scale: "exponential", Exponent: 0.5, Steps: 64},
			CellGap: 1, ShowValue: "never", YAxis: map[string]string{"unit": "s", "axisPlacement": "left"},
			Legend: map[string]bool{"show": true}, Tooltip: map[string]any{"mode": "single", "yHistogram": true, "showColorScale": true},
			Exemplars: map[string]string{"color": "rgba(255,0,255,0.7)"}, RowsFrame: map[string]string{"layout": "auto"},
			FilterValues: map[string]any{"le": 1e-9},
		}}
}

// Stat is a figure, or a few.
func Stat(title, description, unit string, targets ...Target) Panel {
	for i := range targets {
		targets[i].Instant = true
	}
	return Panel{Type: "stat", Title: title, Description: description, Targets: targets, FieldConfig: fields(unit, nil),
		Options: map[string]any{"graphMode": "none", "colorMode": "value", "justifyMode": "auto", "textMode": "auto", "wideLayout": true,
			"showPercentChange": false, "percentChangeColorMode": "standard", "orientation": "auto", "reduceOptions": reduce()}}
}

// Bars is a bar for each series.
func Bars(title, description, unit string, targets ...Target) Panel {
	for i := range targets {
		targets[i].Instant = true
	}
	p := Panel{Type: "bargauge", Title: title, Description: description, Targets: targets, FieldConfig: fields(unit, nil),
		Options: map[string]any{"displayMode": "basic", "valueMode": "color", "namePlacement": "left", "showUnfilled": true, "sizing": "auto",
			"minVizWidth": 8, "minVizHeight": 16, "maxVizHeight": 300, "orientation": "horizontal", "reduceOptions": reduce(),
			"legend": map[string]any{"displayMode": "list", "placement": "bottom", "showLegend": false, "calcs": []string{}}}}
	zero := 0.0
	p.FieldConfig.Defaults.Min = &zero
	return p
}

// Column is one of a Table: a query whose value goes there.
type Column struct {
	Name, Unit string
	Target     Target
}

// Table has a row for each set of labels, and a column for each query. The labels shown
// come first; others are hidden.
func Table(title, description string, labels []string, columns ...Column) Panel {
	p := Panel{Type: "table", Title: title, Description: description, FieldConfig: fields("", map[string]any{"align": "auto", "inspect": false}),
		Options: map[string]any{"showHeader": true, "frameIndex": 0, "cellHeight": "sm"}}
	rename, order := map[string]string{}, map[string]int{}
	for i, l := range labels {
		order[l] = i
	}
	for i, c := range columns {
		c.Target.Instant, c.Target.Format = true, "table"
		p.Targets = append(p.Targets, c.Target)
		value := "Value"
		if len(columns) > 1 {
			value = fmt.Sprintf("Value #%c", 'A'+i)
		}
		rename[value], order[value] = c.Name, len(labels)+i
		p.FieldConfig.Overrides = append(p.FieldConfig.Overrides, Override{Matcher: Matcher{ID: "byName", Options: c.Name},
			Properties: []Property{{ID: "unit", Value: c.Unit}}})
	}
	hidden := map[string]bool{"Time": true}
	for _, l := range []string{"__name__", "instance", "job"} {
		if !slices.Contains(labels, l) {
			hidden[l] = true
		}
	}
	p.Transformations = []Transformation{
		{ID: "merge", Options: map[string]any{}},
		{ID: "organize", Options: map[string]any{"excludeByName": hidden, "indexByName": order, "renameByName": rename}},
	}
	return p
}

func fields(unit string, custom map[string]any) *FieldConfig {
	return &FieldConfig{Defaults: FieldDefaults{Unit: unit, Custom: custom, Color: &Color{Mode: "palette-classic"}}, Overrides: []Override{}}
}

func reduce() map[string]any {
	return map[string]any{"values": false, "calcs": []string{"lastNotNull"}, "fields": ""}
}
