// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ukprobe/ukprobe/internal/only"
	"github.com/ukprobe/ukprobe/internal/suggest"
)

// Axes along which cells are compared.
const (
	BySystem   = "system"
	ByPlatform = "platform"
	ByHost     = "host"
	ByVersion  = "version"
)

// Axes are the values of Options.By.
var Axes = []string{BySystem, ByPlatform, ByHost, ByVersion}

// What figures may differ in only when asked.
const (
	AcrossRung  = "rung"
	AcrossAccel = "accel"
	AcrossHost  = "host"
)

// AcrossValues are the values of Options.Across.
var AcrossValues = []string{AcrossRung, AcrossAccel, AcrossHost}

// How p values are corrected for their number.
const (
	CorrectHolm = "holm" // the default
	CorrectBH   = "bh"
	CorrectNone = "none"
)

// Corrections are the values of Options.Correct.
var Corrections = []string{CorrectHolm, CorrectBH, CorrectNone}

// Options say what is compared with what.
type Options struct {
	By        string   // an axis; "": the same cells of two runs
	Base      string   // the value of the axis that others of one run are held against; "": the first
	Metrics   []string // patterns; none: the experiment's main ones
	Across    []string
	Only      []only.Selector // which cells; none: all
	Threshold float64         // in percent
	Correct   string
}

// OptionError is that options are wrong, or do not fit what the runs have.
type OptionError struct{ err error }

func (e *OptionError) Error() string { return e.err.Error() }

// Unwrap returns what is wrong.
func (e *OptionError) Unwrap() error { return e.err }

var errBaseOfTwo = errors.New("a base is for cells of one run: of two runs, the first is what the second is held against: leave the base out, or name one run")

// Check refuses what there is not, and fills in what is so by default.
func (o *Options) Check() error {
	if o.Correct == "" {
		o.Correct = CorrectHolm
	}
	for _, e := range []struct {
		what, value string
		of          []string
	}{{"axis", o.By, append([]string{""}, Axes...)}, {"correction", o.Correct, Corrections}} {
		if !slices.Contains(e.of, e.value) {
			return fmt.Errorf("no %s %q%s (there are: %s)", e.what, e.value, suggest.DidYouMean(e.value, e.of), strings.TrimPrefix(strings.Join(e.of, ", "), ", "))
		}
	}
	for _, a := range o.Across {
		if !slices.Contains(AcrossValues, a) {
			return fmt.Errorf("nothing to compare across is called %q%s (there are: %s)", a, suggest.DidYouMean(a, AcrossValues), strings.Join(AcrossValues, ", "))
		}
	}
	for _, m := range o.Metrics {
		if err := ParseMetric(m); err != nil {
			return err
		}
	}
	if o.Base != "" && !slices.Contains([]string{BySystem, ByPlatform, ByVersion}, o.By) {
		return errors.New("a base is the value of an axis: it goes with --by system, platform or version")
	}
	if !(o.Threshold >= 0) {
		return fmt.Errorf("threshold %v %% is no percentage", o.Threshold)
	}
	return nil
}

func (o Options) across(what string) bool {
	return slices.Contains(o.Across, what) || what == AcrossHost && o.By == ByHost
}
