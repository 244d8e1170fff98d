// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"errors"
	"sync"
)

// Hold attaches the on-demand hooks that the VMs of [Probe.VMs] need and keeps
// them attached until the returned function is called, whether there is a VM or
// not. Without it they come and go with the VMs. After Hold nothing has to be
// loaded for a VM any more, so that the privileges for loading can be given up.
// With network it loads the programs for [Watch.WatchDevice] as well.
func (p *Probe) Hold(network bool) (release func() error, err error) {
	w := &Watch{p: p, target: Target{KVM: true, Full: true}}
	var all []func() error
	release = sync.OnceValue(func() error {
		var errs []error
		for _, r := range all {
			errs = append(errs, r())
		}
		return errors.Join(errs...)
	})
	for _, name := range w.demanded() {
		r, err := p.demand(name)
		if err != nil {
			return nil, errors.Join(err, release())
		}
		all = append(all, r)
	}
	if network {
		if _, err := p.tcLoad(); err != nil {
			return nil, errors.Join(err, release())
		}
	}
	return release, nil
}
