// SPDX-License-Identifier: Apache-2.0

package results

import (
	"bytes"
	"encoding/json"
	"slices"
)

// countsKey is what a sample in run.json has besides a Sample's fields: whether it counts
// ([Cell.Standing]). That follows from all samples of its cell, so it is written with them
// and is no part of a stored one.
const countsKey = "counts"

// withCounts are a cell's encoded samples, which end with whether they count.
func withCounts(samples []json.RawMessage, counts []bool) []json.RawMessage {
	out := make([]json.RawMessage, len(samples))
	for i, s := range samples {
		s = withoutCounts(s)
		out[i] = slices.Concat(s[:len(s)-1], countsEnd(i < len(counts) && counts[i]))
	}
	return out
}

// withoutCounts is an encoded sample as it is stored.
func withoutCounts(s json.RawMessage) json.RawMessage {
	for _, counts := range []bool{false, true} {
		if rest, has := bytes.CutSuffix(s, countsEnd(counts)); has {
			return append(slices.Clip(rest), '}')
		}
	}
	return s
}

func countsEnd(counts bool) []byte {
	if counts {
		return []byte(`,"` + countsKey + `":true}`)
	}
	return []byte(`,"` + countsKey + `":false}`)
}
