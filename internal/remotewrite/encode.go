// SPDX-License-Identifier: Apache-2.0

// Package remotewrite sends metrics to a Prometheus by its remote-write protocol,
// version 1, native histograms included: for programs that end before anybody scrapes
// them.
//
// It knows the protocol (https://prometheus.io/docs/specs/prw/remote_write_spec/) and
// that each push has the totals of the moment, so that a push that was not delivered is
// made up for by the next. It does not know whose metrics they are.
package remotewrite

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protowire"
)

// The numbers of fields of prometheus.WriteRequest and what is in it
// (prompb/remote.proto and types.proto of Prometheus 2.40 and later).
const (
	requestSeries, requestMetadata             = 1, 3
	seriesLabels, seriesSamples, seriesHist    = 1, 2, 4
	labelName, labelValue                      = 1, 2
	sampleValue, sampleTime                    = 1, 2
	histCount, histSum, histSchema             = 1, 3, 4
	histZeroThreshold, histZeroCount           = 5, 6
	histNegativeSpans, histNegativeDeltas      = 8, 9
	histPositiveSpans, histPositiveDeltas      = 11, 12
	histTime                                   = 15
	spanOffset, spanLength                     = 1, 2
	metadataType, metadataFamily, metadataHelp = 1, 2, 4
)

// metadataTypes are the numbers of MetricMetadata.MetricType.
var metadataTypes = map[dto.MetricType]uint64{dto.MetricType_COUNTER: 1, dto.MetricType_GAUGE: 2, dto.MetricType_HISTOGRAM: 3,
	dto.MetricType_GAUGE_HISTOGRAM: 4, dto.MetricType_SUMMARY: 5}

// maxSeries is how many series a request has at most: receivers bound its size.
const maxSeries = 2000

// Encoding turns gathered metrics into requests.
type Encoding struct {
	// Labels are on every series that has none of that name.
	Labels map[string]string
	// Classic: histograms as their classic buckets, for receivers that take no native
	// ones. Without it, histograms that have both are sent as native ones.
	Classic bool
}

// Requests are the bodies, not compressed, of as many requests as it takes.
func (e Encoding) Requests(families []*dto.MetricFamily, at time.Time) [][]byte {
	w := writer{Encoding: e, ms: at.UnixMilli()}
	for _, f := range families {
		w.metadata(f)
		for _, m := range f.GetMetric() {
			w.metric(f.GetName(), m)
		}
	}
	w.flush()
	return w.out
}

// writer makes requests one after the other.
type writer struct {
	Encoding
	ms     int64
	out    [][]byte
	body   []byte
	series int
}

func (w *writer) flush() {
	if len(w.body) > 0 {
		w.out = append(w.out, w.body)
	}
	w.body, w.series = nil, 0
}

func (w *writer) metadata(f *dto.MetricFamily) {
	var b []byte
	b = appendUint(b, metadataType, metadataTypes[f.GetType()])
	b = appendBytes(b, metadataFamily, []byte(f.GetName()))
	b = appendBytes(b, metadataHelp, []byte(f.GetHelp()))
	w.body = appendBytes(w.body, requestMetadata, b)
}

// metric writes the series that a metric consists of.
func (w *writer) metric(name string, m *dto.Metric) {
	switch {
	case m.Counter != nil:
		w.sample(name, m, m.Counter.GetValue())
	case m.Gauge != nil:
		w.sample(name, m, m.Gauge.GetValue())
	case m.Untyped != nil:
		w.sample(name, m, m.Untyped.GetValue())
	case m.Summary != nil:
		for _, q := range m.Summary.GetQuantile() {
			w.sample(name, m, q.GetValue(), "quantile", number(q.GetQuantile()))
		}
		w.sample(name+"_sum", m, m.Summary.GetSampleSum())
		w.sample(name+"_count", m, float64(m.Summary.GetSampleCount()))
	case m.Histogram != nil:
		w.histogram(name, m)
	}
}

func (w *writer) histogram(name string, m *dto.Metric) {
	h := m.Histogram
	if native(h) && !w.Classic {
		w.write(name, m, nil, func(b []byte) []byte { return appendBytes(b, seriesHist, w.native(h)) })
		return
	}
	for _, b := range h.GetBucket() {
		if !math.IsInf(b.GetUpperBound(), 1) {
			w.sample(name+"_bucket", m, float64(b.GetCumulativeCount()), "le", number(b.GetUpperBound()))
		}
	}
	w.sample(name+"_bucket", m, float64(h.GetSampleCount()), "le", "+Inf")
	w.sample(name+"_sum", m, h.GetSampleSum())
	w.sample(name+"_count", m, float64(h.GetSampleCount()))
}

// native tells a native histogram; one without observations has a span that holds nothing.
func native(h *dto.Histogram) bool {
	return h.Schema != nil && (len(h.GetPositiveSpan()) > 0 || len(h.GetNegativeSpan()) > 0 || h.GetZeroThreshold() > 0 || h.GetZeroCount() > 0)
}

func (w *writer) native(h *dto.Histogram) []byte {
	var b []byte
	b = appendUint(b, histCount, h.GetSampleCount())
	b = appendDouble(b, histSum, h.GetSampleSum())
	b = appendUint(b, histSchema, protowire.EncodeZigZag(int64(h.GetSchema())))
	b = appendDouble(b, histZeroThreshold, h.GetZeroThreshold())
	b = appendUint(b, histZeroCount, h.GetZeroCount())
	b = appendBuckets(b, histNegativeSpans, histNegativeDeltas, h.GetNegativeSpan(), h.GetNegativeDelta())
	b = appendBuckets(b, histPositiveSpans, histPositiveDeltas, h.GetPositiveSpan(), h.GetPositiveDelta())
	return appendUint(b, histTime, uint64(w.ms))
}

func appendBuckets(b []byte, spans, deltas protowire.Number, s []*dto.BucketSpan, d []int64) []byte {
	for _, span := range s {
		var one []byte
		one = appendUint(one, spanOffset, protowire.EncodeZigZag(int64(span.GetOffset())))
		one = appendUint(one, spanLength, uint64(span.GetLength()))
		b = appendBytes(b, spans, one)
	}
	if len(d) == 0 {
		return b
	}
	var packed []byte
	for _, delta := range d {
		packed = protowire.AppendVarint(packed, protowire.EncodeZigZag(delta))
	}
	return appendBytes(b, deltas, packed)
}

func (w *writer) sample(name string, m *dto.Metric, value float64, more ...string) {
	w.write(name, m, more, func(b []byte) []byte {
		var s []byte
		s = appendDouble(s, sampleValue, value)
		s = appendUint(s, sampleTime, uint64(w.ms))
		return appendBytes(b, seriesSamples, s)
	})
}

// write writes a series with its labels, in the order that the protocol asks for, and no
// empty ones, which are as if they were not there.
func (w *writer) write(name string, m *dto.Metric, more []string, value func([]byte) []byte) {
	labels := map[string]string{}
	maps.Copy(labels, w.Labels)
	for _, l := range m.GetLabel() {
		labels[l.GetName()] = l.GetValue()
	}
	for i := 0; i+1 < len(more); i += 2 {
		labels[more[i]] = more[i+1]
	}
	labels["__name__"] = name
	var b []byte
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		if labels[k] == "" {
			continue
		}
		var l []byte
		l = appendBytes(l, labelName, []byte(k))
		l = appendBytes(l, labelValue, []byte(strings.ToValidUTF8(labels[k], "\uFFFD")))
		b = appendBytes(b, seriesLabels, l)
	}
	w.body = appendBytes(w.body, requestSeries, value(b))
	if w.series++; w.series >= maxSeries {
		w.flush()
	}
}

func number(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

func appendBytes(b []byte, n protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), v)
}

func appendUint(b []byte, n protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), v)
}

func appendDouble(b []byte, n protowire.Number, v float64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(b, n, protowire.Fixed64Type), math.Float64bits(v))
}
