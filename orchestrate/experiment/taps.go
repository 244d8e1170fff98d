// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/ukprobe/ukprobe/orchestrate/network"
)

// Taps are those of a cell whose guests start on the same ones again and again: they stay
// on the bridge between its samples, with their addresses. A nil *Taps keeps none.
type Taps struct {
	mu   sync.Mutex
	free []*network.Tap
}

// take returns the kept tap of the lowest address, or makes one. leave ends its use.
func (k *Taps) take(lab *network.Lab, o network.TapOptions) (t *network.Tap, leave func() error, err error) {
	if k == nil {
		if t, err = lab.Tap(o); err != nil {
			return nil, nil, err
		}
		return t, t.Close, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.free) > 0 {
		t, k.free = k.free[0], k.free[1:]
	} else if t, err = lab.Tap(o); err != nil {
		return nil, nil, err
	}
	return t, func() error { k.put(t); return nil }, nil
}

func (k *Taps) put(t *network.Tap) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.free = append(k.free, t)
	slices.SortFunc(k.free, func(a, b *network.Tap) int { return a.IP.Compare(b.IP) })
}

// Close removes the taps that are kept.
func (k *Taps) Close() error {
	if k == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	var errs []error
	for _, t := range k.free {
		errs = append(errs, t.Close())
	}
	k.free = nil
	return errors.Join(errs...)
}

// device describes a guest's end of the wire, as it stands in a sample.
func device(g network.Guest) string {
	return fmt.Sprintf("%s, ifindex %d, MAC %s, address %s\n", g.Name, g.Ifindex, g.MAC, g.IP)
}
