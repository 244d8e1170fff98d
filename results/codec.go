// SPDX-License-Identifier: Apache-2.0

package results

import (
	_ "embed"
	"fmt"
	"math"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// dictionary is what samples have in common, so that one of them alone packs well: made
// by `zstd --train --maxdict=16384` from 828 samples of 170 runs of all experiments, it
// takes 38 % off the size. It is part of the format: stores that were written with it
// need it as it is. A better one would get another id, and both be known here; each
// frame says which it needs.
//
//go:embed samples.zdict
var dictionary []byte

// maxPacked bounds what one sample, or one cell's histograms or values, may unpack to.
const maxPacked = 256 << 20 // bytes

var packer = sync.OnceValues(func() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderDict(dictionary), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true))
})

var unpacker = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderDicts(dictionary), zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(maxPacked))
})

// pack compresses; the frame has a checksum of its content.
func pack(data []byte) ([]byte, error) {
	w, err := packer()
	if err != nil {
		return nil, err
	}
	return w.EncodeAll(data, make([]byte, 0, len(data)/4)), nil
}

func unpack(data []byte) ([]byte, error) {
	r, err := unpacker()
	if err != nil {
		return nil, err
	}
	out, err := r.DecodeAll(data, nil)
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	return out, nil
}

// shuffle lays out values by byte: all first bytes, then all second ones. Values of one
// metric have most of their bytes in common, which zstd only finds then.
func shuffle(values []float64) []byte {
	n := len(values)
	out := make([]byte, 8*n)
	for i, v := range values {
		u := math.Float64bits(v)
		for b := range 8 {
			out[b*n+i] = byte(u >> (8 * b))
		}
	}
	return out
}

func unshuffle(data []byte) []float64 {
	n := len(data) / 8
	out := make([]float64, n)
	for i := range out {
		var u uint64
		for b := range 8 {
			u |= uint64(data[b*n+i]) << (8 * b)
		}
		out[i] = math.Float64frombits(u)
	}
	return out
}
