// SPDX-License-Identifier: Apache-2.0

package stats

import "fmt"

// Far tells how far out a value is.
type Far int

// The fences of Tukey, Exploratory Data Analysis (1977), section 2D: a value is outside
// if it is more than 1.5 times the distance of the quartiles beyond the nearer one, and
// far out if it is more than 3 times that.
const (
	Inside Far = iota
	Outside
	FarOut
)

// Outliers marks each value, in the order given. A mark is a hint for the reader: nothing
// is ever left out for it. Of normal values 0.7 % are outside; of skewed ones more. Below
// four values there are no quartiles to speak of: the error wraps [ErrTooFew]. Where
// more than half are equal, each other value is far out.
func Outliers(values []float64) ([]Far, error) {
	if err := finite(values); err != nil {
		return nil, fmt.Errorf("outliers: %w", err)
	}
	if len(values) < 4 {
		return nil, fmt.Errorf("outliers of %d: %w", len(values), ErrTooFew)
	}
	v := sorted(values)
	q1, q3 := Quantile(v, 0.25), Quantile(v, 0.75)
	step := q3 - q1
	marks := make([]Far, len(values))
	for i, x := range values {
		switch beyond := max(q1-x, x-q3); {
		case beyond > 3*step:
			marks[i] = FarOut
		case beyond > 1.5*step:
			marks[i] = Outside
		}
	}
	return marks, nil
}
