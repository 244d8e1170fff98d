// SPDX-License-Identifier: Apache-2.0

// Package grafana is as much of the JSON model of a Grafana dashboard (schema version
// 39, read by Grafana 10 and later) as ukprobe's dashboards use.
//
// It knows the model's words and where panels go. It does not know Grafana's API, nor
// which metrics there are. What is unset is left out, so that Grafana's own default
// holds.
package grafana

// SchemaVersion is the version of the model.
const SchemaVersion = 39

// Dashboard is a file of it.
type Dashboard struct {
	UID           string      `json:"uid"`
	Title         string      `json:"title"`
	Description   string      `json:"description,omitempty"`
	Tags          []string    `json:"tags,omitempty"`
	Timezone      string      `json:"timezone"`
	Editable      bool        `json:"editable"`
	GraphTooltip  int         `json:"graphTooltip"` // 1: a crosshair in all panels
	SchemaVersion int         `json:"schemaVersion"`
	Refresh       string      `json:"refresh,omitempty"`
	Time          TimeRange   `json:"time"`
	Links         []Link      `json:"links,omitempty"`
	Templating    Templating  `json:"templating"`
	Annotations   Annotations `json:"annotations"`
	Panels        []Panel     `json:"panels"`
}

// TimeRange is what a dashboard shows at first.
type TimeRange struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Link leads to the other dashboards with the same tags.
type Link struct {
	Title       string   `json:"title"`
	Type        string   `json:"type"`
	Icon        string   `json:"icon"`
	Tooltip     string   `json:"tooltip"`
	Tags        []string `json:"tags"`
	AsDropdown  bool     `json:"asDropdown"`
	TargetBlank bool     `json:"targetBlank"`
	IncludeVars bool     `json:"includeVars"`
	KeepTime    bool     `json:"keepTime"`
}

// Templating holds a dashboard's variables.
type Templating struct {
	List []Variable `json:"list"`
}

// Annotations are none of ours; the list has to be there.
type Annotations struct {
	List []struct{} `json:"list"`
}

// Variable is what a person chooses above the panels.
type Variable struct {
	Type        string      `json:"type"` // query, datasource
	Name        string      `json:"name"`
	Label       string      `json:"label,omitempty"`
	Description string      `json:"description,omitempty"`
	Datasource  *Datasource `json:"datasource,omitempty"`
	Definition  string      `json:"definition,omitempty"`
	Query       string      `json:"query"`
	Regex       string      `json:"regex,omitempty"`
	Refresh     int         `json:"refresh,omitempty"` // 1: when the dashboard is loaded, 2: also when the time changes
	Sort        int         `json:"sort,omitempty"`    // 1: alphabetically
	Multi       bool        `json:"multi,omitempty"`
	IncludeAll  bool        `json:"includeAll,omitempty"`
	AllValue    string      `json:"allValue,omitempty"`
	Current     *Option     `json:"current,omitempty"`
}

// Option is a variable's value.
type Option struct {
	Selected bool `json:"selected"`
	Text     any  `json:"text"` // string, or []string of one with Multi
	Value    any  `json:"value"`
}

// Datasource names one.
type Datasource struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

// Panel is a picture, or a row's heading.
type Panel struct {
	ID          int          `json:"id"`
	Type        string       `json:"type"` // timeseries, heatmap, stat, table, bargauge, row
	Title       string       `json:"title"`
	Description string       `json:"description,omitempty"`
	Datasource  *Datasource  `json:"datasource,omitempty"`
	GridPos     GridPos      `json:"gridPos"`
	Collapsed   *bool        `json:"collapsed,omitempty"` // of a row
	Panels      *[]Panel     `json:"panels,omitempty"`    // of a row: none, as it is not collapsed
	Targets     []Target     `json:"targets,omitempty"`
	FieldConfig *FieldConfig `json:"fieldConfig,omitempty"`
	Options     any          `json:"options,omitempty"`
	// Transformations are done with a table's data before it is shown.
	Transformations []Transformation `json:"transformations,omitempty"`
}

// GridPos is where a panel is, in a grid 24 wide.
type GridPos struct {
	H int `json:"h"`
	W int `json:"w"`
	X int `json:"x"`
	Y int `json:"y"`
}

// Target is a query.
type Target struct {
	RefID        string      `json:"refId"`
	Datasource   *Datasource `json:"datasource,omitempty"`
	EditorMode   string      `json:"editorMode"`
	Expr         string      `json:"expr"`
	LegendFormat string      `json:"legendFormat,omitempty"`
	Format       string      `json:"format,omitempty"` // time_series, table, heatmap
	Instant      bool        `json:"instant,omitempty"`
	Range        bool        `json:"range,omitempty"`
}

// FieldConfig says how values are written and drawn.
type FieldConfig struct {
	Defaults  FieldDefaults `json:"defaults"`
	Overrides []Override    `json:"overrides"`
}

// FieldDefaults are of all fields.
type FieldDefaults struct {
	Unit       string         `json:"unit,omitempty"` // s, ops, Bps, percentunit, bytes, short …
	Decimals   *int           `json:"decimals,omitempty"`
	Min        *float64       `json:"min,omitempty"`
	Max        *float64       `json:"max,omitempty"`
	NoValue    string         `json:"noValue,omitempty"`
	Custom     map[string]any `json:"custom,omitempty"`
	Thresholds *Thresholds    `json:"thresholds,omitempty"`
	Color      *Color         `json:"color,omitempty"`
}

// Color says how a series gets its colour.
type Color struct {
	Mode string `json:"mode"`
}

// Thresholds colour a value.
type Thresholds struct {
	Mode  string      `json:"mode"`
	Steps []Threshold `json:"steps"`
}

// Threshold begins at a value; the first one has none.
type Threshold struct {
	Value *float64 `json:"value"`
	Color string   `json:"color"`
}

// Override changes some fields.
type Override struct {
	Matcher    Matcher    `json:"matcher"`
	Properties []Property `json:"properties"`
}

// Matcher finds fields, byName or byRegexp.
type Matcher struct {
	ID      string `json:"id"`
	Options string `json:"options"`
}

// Property is set by an Override.
type Property struct {
	ID    string `json:"id"`
	Value any    `json:"value"`
}

// Transformation is one of Grafana's.
type Transformation struct {
	ID      string         `json:"id"`
	Options map[string]any `json:"options"`
}

// HeatmapOptions are those of a heatmap.
type HeatmapOptions struct {
	Calculate    bool              `json:"calculate"` // false: the buckets are Prometheus'
	Color        HeatmapColor      `json:"color"`
	CellGap      int               `json:"cellGap"`
	ShowValue    string            `json:"showValue"`
	YAxis        map[string]string `json:"yAxis"`
	Legend       map[string]bool   `json:"legend"`
	Tooltip      map[string]any    `json:"tooltip"`
	Exemplars    map[string]string `json:"exemplars"`
	RowsFrame    map[string]string `json:"rowsFrame,omitempty"`
	FilterValues map[string]any    `json:"filterValues,omitempty"`
}

// HeatmapColor colours the cells.
type HeatmapColor struct {
	Mode     string  `json:"mode"`
	Scheme   string  `json:"scheme"`
	Fill     string  `json:"fill"`
	Scale    string  `json:"scale"`
	Exponent float64 `json:"exponent"`
	Steps    int     `json:"steps"`
	Reverse  bool    `json:"reverse"`
}
