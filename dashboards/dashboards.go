// SPDX-License-Identifier: Apache-2.0

// Package dashboards makes ukprobe's Grafana dashboards. The files in json/ are what
// `go generate` makes of it; the others in this folder are written by hand.
//
// Every dashboard shows both what `ukprobe run` and what `ukprobe watch` serve: series
// of a run have the labels of its cell and no vm, series of watch have the label vm and
// none of a cell, and "All" of a variable takes both.
//
// It knows the metrics' names (docs/metrics.md) and no values. Whether each query finds
// something is tested against a real Prometheus (test/e2e).
package dashboards

import (
	"fmt"
	"strings"

	"github.com/ukprobe/ukprobe/dashboards/grafana"
)

//go:generate go run ./gen json

// All are the dashboards, by the name of their file.
func All() map[string]grafana.Dashboard {
	out := map[string]grafana.Dashboard{}
	for _, d := range []grafana.Dashboard{boot(), exits(), network(), throughput(), interference(), overhead()} {
		out[d.UID+".json"] = d
	}
	return out
}

// tag is on all of them, for the links between them.
const tag = "ukprobe"

// source is the data source that the variable names.
var source = &grafana.Datasource{Type: "prometheus", UID: "${datasource}"}

// dashboard is the frame of one.
func dashboard(name, title, description string, b *grafana.Builder) grafana.Dashboard {
	return grafana.Dashboard{UID: "ukprobe-" + name, Title: "ukprobe / " + title, Description: description, Tags: []string{tag},
		Timezone: "browser", GraphTooltip: 1, SchemaVersion: grafana.SchemaVersion, Refresh: "10s",
		Time: grafana.TimeRange{From: "now-30m", To: "now"},
		Links: []grafana.Link{{Title: "ukprobe", Type: "dashboards", Icon: "external link", Tags: []string{tag},
			AsDropdown: true, IncludeVars: true, KeepTime: true}},
		Templating:  grafana.Templating{List: variables()},
		Annotations: grafana.Annotations{List: []struct{}{}},
		Panels:      b.Panels()}
}

// Histograms that every run or watch has some of: by them it is known which kind of
// histogram a server keeps.
const anyHistogram = `{__name__=~"ukprobe_(boot_phase|vmm_round_trip|kvm_exit_handling|network_response)_seconds(_bucket)?"}`

func variables() []grafana.Variable {
	prometheus := grafana.Variable{Type: "datasource", Name: "datasource", Label: "Data source", Query: "prometheus", Refresh: 1}
	histograms := query("histograms", "Histograms", "label_values("+anyHistogram+", __name__)")
	histograms.Regex, histograms.Sort = `/(seconds(?:_bucket)?)$/`, 1
	histograms.Description = "seconds: native histograms. seconds_bucket: classic ones, where the server knows no others. What the server has is found by itself."
	out := []grafana.Variable{prometheus, histograms}
	for _, v := range []struct{ name, label, metric string }{
		{"system", "System", "ukprobe_samples_total"}, {"app", "App", "ukprobe_samples_total"}, {"platform", "Platform", "ukprobe_samples_total"},
		{"experiment", "Experiment", "ukprobe_samples_total"}, {"vm", "VM (watch)", "ukprobe_vm_info"}, {"job", "Job", `{__name__=~"ukprobe_(hook|run)_info"}`},
	} {
		one := query(v.name, v.label, fmt.Sprintf("label_values(%s, %s)", v.metric, v.name))
		one.Multi, one.IncludeAll, one.AllValue, one.Sort = true, true, ".*", 1
		one.Current = &grafana.Option{Selected: true, Text: []string{"All"}, Value: []string{"$__all"}}
		out = append(out, one)
	}
	return out
}

func query(name, label, text string) grafana.Variable {
	return grafana.Variable{Type: "query", Name: name, Label: label, Datasource: source, Definition: text, Query: text, Refresh: 2}
}

// guests selects what the variables above the panels say.
const guests = `job=~"$job",system=~"$system",app=~"$app",platform=~"$platform",experiment=~"$experiment",vm=~"$vm"`

// each are the labels by which guests are told apart, and legend is how they are called.
const (
	each   = "system, app, platform, experiment, accel, variant, vm"
	legend = "{{system}} {{app}} {{platform}} {{experiment}} {{variant}} {{vm}}"
)

// eachLabel are those that a table shows.
var eachLabel = strings.Split(each, ", ")

// series selects a metric's series of the guests, with further matchers.
func series(metric string, more ...string) string {
	return metric + "{" + strings.Join(append([]string{guests}, more...), ",") + "}"
}

// histogram selects a histogram, native or classic as the server has it; the name is
// without its unit, which is seconds.
func histogram(name string, more ...string) string { return series(name+"_${histograms}", more...) }

// perSecond sums the rates of counters by labels.
func perSecond(by, selector string) string {
	return fmt.Sprintf("sum by (%s) (rate(%s[$__rate_interval]))", by, selector)
}

// quantileOfRate is of what happened lately.
func quantileOfRate(q float64, by, selector string) string {
	return fmt.Sprintf("histogram_quantile(%g, sum by (%s) (rate(%s[$__rate_interval])))", q, le(by), selector)
}

// quantileOfAll is of all that was counted since the run, or the watching of the VM, began.
func quantileOfAll(q float64, by, selector string) string {
	return fmt.Sprintf("histogram_quantile(%g, sum by (%s) (%s))", q, le(by), selector)
}

// le adds the label of classic buckets; native histograms have none.
func le(by string) string {
	if by == "" {
		return "le"
	}
	return "le, " + by
}

// buckets is what a heatmap draws.
func buckets(selector string) grafana.Target {
	return target(fmt.Sprintf("sum by (le) (increase(%s[$__rate_interval]))", selector), "")
}

func target(expr, legend string) grafana.Target {
	return grafana.Target{Expr: expr, LegendFormat: legend}
}

func builder() *grafana.Builder { return &grafana.Builder{Source: source} }
