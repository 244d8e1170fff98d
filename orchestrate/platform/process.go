// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"fmt"

	"github.com/ukprobe/ukprobe/guests/linux"
	"github.com/ukprobe/ukprobe/orchestrate/network"
	"github.com/ukprobe/ukprobe/orchestrate/system"
)

// process runs a program in a root of its own, in a network namespace behind a
// veth. Nothing is virtualised.
type process struct{}

// Name implements Platform.
func (process) Name() string { return "process" }

// Program implements Platform.
func (process) Program() string { return "" }

// Wire implements Platform.
func (process) Wire() Wire { return VethWire }

// Accel implements Platform: there is none to choose, whatever the other cells
// of a run ask for.
func (process) Accel(string, system.Boot, Host) (string, error) { return None, nil }

// Firmware implements Platform.
func (process) Firmware() Firmware { return Firmware{} }

// Launch implements Platform. Each sample has a copy of the root folder: as a microVM and
// a container start from a file system that nobody has written to, so does a process.
func (process) Launch(b system.Boot, r Resources, _ *network.Guest, _ string) (Launch, error) {
	if b.RootFS == "" || len(b.Argv) == 0 {
		return Launch{}, fmt.Errorf("%w: platform process runs programs; this system is a guest", system.ErrUnsupported)
	}
	const root = "root"
	l := Launch{Argv: b.Argv, Env: b.Env, Chroot: Dir + "/" + root, Copies: map[string]string{root: b.RootFS},
		Console: Console{Write: true}, Accel: r.Accel}
	return l, l.scratch(b, root+linux.ScratchFile, "process")
}
