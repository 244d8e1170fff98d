// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ukprobe/ukprobe/orchestrate/network"
	"github.com/ukprobe/ukprobe/orchestrate/system"
)

// uhyve is the VMM of the Hermit family. There are two programs of that name:
//
//   - HermitCore's, which HermiTux has as "proxy" and published evaluations renamed
//     "uhyve": everything by HERMIT_* variables (ssrg-vt/hermitux-kernel,
//     tools/proxy.c, tools/uhyve.c);
//   - today's, of Hermit in Rust (hermit-os/uhyve, src/bin/uhyve.rs): options.
//
// A guest with a program of its own beside the kernel (an initrd) is HermitCore's.
// Both have KVM only, no firmware, and write the guest's console themselves.
type uhyve struct{}

const uhyveProgram = "uhyve"

// Name implements Platform.
func (uhyve) Name() string { return "uhyve" }

// Program implements Platform.
func (uhyve) Program() string { return uhyveProgram }

// Wire implements Platform.
func (uhyve) Wire() Wire { return TapWire }

// Firmware implements Platform.
func (uhyve) Firmware() Firmware { return Firmware{} }

// Accel implements Platform: there is only KVM.
func (u uhyve) Accel(want string, b system.Boot, h Host) (string, error) {
	return h.kvmOnly(u.Name(), want, b)
}

// Launch implements Platform.
func (u uhyve) Launch(b system.Boot, r Resources, nic *network.Guest, cmdline string) (Launch, error) {
	if b.Kernel == "" {
		return Launch{}, fmt.Errorf("%w: platform uhyve boots images of the Hermit family; this system has none", system.ErrUnsupported)
	}
	if len(b.Disks) > 0 {
		return Launch{}, fmt.Errorf("%w: uhyve has no disks: its guests read the host's files", system.ErrUnsupported)
	}
	if b.Initrd != "" {
		return u.hermitux(b, r, nic, cmdline)
	}
	return u.hermit(b, r, nic, cmdline)
}

// hermitux is HermitCore's VMM: `VARIABLES proxy KERNEL PROGRAM ARGUMENTS`, as in
// ssrg-vt/hermitux README.md and apps/redis-2.0.4/hermitux.sh. The guest gets the
// whole environment.
func (uhyve) hermitux(b system.Boot, r Resources, nic *network.Guest, cmdline string) (Launch, error) {
	path, err := findProxy(b.Kernel)
	if err != nil {
		return Launch{}, err
	}
	env := []string{"HERMIT_ISLE=uhyve", "HERMIT_TUX=1", "HERMIT_MEM=" + strconv.Itoa(r.MemoryMiB) + "M", "HERMIT_CPUS=" + strconv.Itoa(r.VCPUs)}
	if nic != nil {
		// Any value of HERMIT_NETIF, also an empty one, says that there is a card.
		env = append(env, "HERMIT_NETIF="+nic.Name, "HERMIT_NETIF_MAC="+nic.MAC.String())
		env = append(env, hermitAddress(*nic)...)
	}
	argv := append([]string{path, b.Kernel, b.Initrd}, strings.Fields(cmdline)...)
	return Launch{Argv: argv, Env: slices.Concat(vmmEnv(), env, b.Env), Console: Console{Write: true}, Accel: r.Accel}, nil
}

// hermit is today's uhyve: `uhyve -m 256MiB -c 1 --net=tap:TAP -e NAME=VALUE IMAGE --
// ARGUMENTS`, as in hermit-os/uhyve README.md.
func (uhyve) hermit(b system.Boot, r Resources, nic *network.Guest, cmdline string) (Launch, error) {
	const leastMiB = 16 // and huge pages of 2 MiB: src/params.rs, GuestMemorySize
	if r.MemoryMiB < leastMiB || r.MemoryMiB%2 != 0 {
		return Launch{}, fmt.Errorf("%w: uhyve gives a guest %d MiB or more, in steps of 2: memory: %d cannot be had", system.ErrUnsupported, leastMiB, r.MemoryMiB)
	}
	path, err := FindUhyve()
	if err != nil {
		return Launch{}, notHere(err)
	}
	argv := []string{path, "-m", strconv.Itoa(r.MemoryMiB) + "MiB", "-c", strconv.Itoa(r.VCPUs)}
	if nic != nil {
		argv = append(argv, "--net=tap:"+nic.Name)
		for _, v := range hermitAddress(*nic) {
			argv = append(argv, "-e", v)
		}
	}
	if argv = append(argv, b.Kernel); cmdline != "" {
		argv = append(append(argv, "--"), strings.Fields(cmdline)...)
	}
	// Its folder for the guest's files is made below the one for temporary files.
	return Launch{Argv: argv, Env: append(vmmEnv(), "TMPDIR="+Dir), Console: Console{Write: true}, Accel: r.Accel}, nil
}

// hermitAddress is the same for both: hermitux-kernel tools/uhyve.c (load_kernel);
// hermit-os/kernel src/executor/device.rs.
func hermitAddress(nic network.Guest) []string {
	p := nic.Prefix()
	return []string{"HERMIT_IP=" + p.Addr().String(), "HERMIT_GATEWAY=" + nic.Gateway().String(), "HERMIT_MASK=" + system.Netmask(p)}
}

// Texts by which the two programs can be told apart: variables that one reads and the
// other does not.
const (
	proxyMark = "HERMIT_ISLE"
	uhyveMark = "HERMIT_MEMORY_SIZE"
)

// findProxy looks for HermitCore's VMM: where its build installs it beside the kernel
// (prefix/x86_64-hermit/extra/tests/hermitux, prefix/bin/proxy), and in PATH.
func findProxy(kernel string) (string, error) {
	var errs []error
	for _, beside := range []string{"../../../bin/proxy", "proxy", "uhyve"} {
		path, err := trusted(filepath.Join(filepath.Dir(kernel), beside))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			err = marked(path, proxyMark)
		}
		if err == nil {
			return path, nil
		}
		errs = append(errs, err)
	}
	for _, name := range []string{"proxy", uhyveProgram} {
		path, err := lookMarked(name, proxyMark)
		if err == nil {
			return path, nil
		}
		errs = append(errs, err)
	}
	return "", fmt.Errorf("find HermiTux' VMM (proxy): %w: build hermitux-kernel and keep its prefix folder together, or put prefix/bin/proxy into PATH", errors.Join(errs...))
}

// FindUhyve looks in PATH for today's uhyve, Hermit's; an older program of the same
// name is none.
func FindUhyve() (string, error) {
	path, err := lookMarked(uhyveProgram, uhyveMark)
	if err != nil {
		return "", fmt.Errorf("find Hermit's VMM: %w: cargo install --locked uhyve, and put it into PATH", err)
	}
	return path, nil
}

// lookMarked finds a program in PATH that holds a text.
func lookMarked(name, mark string) (string, error) {
	path, err := lookPath(name)
	if err != nil {
		return "", err
	}
	return path, marked(path, mark)
}

// errOtherProgram is a program of the right name that is another.
var errOtherProgram = errors.New("is another program")

// marks are the texts that programs hold, of those that tell the two uhyves apart.
var marks learnt[[]string]

// marked says whether a program holds a text.
func marked(path, mark string) error {
	found, err := marks.get(path, func() (found []string, err error) {
		raw, err := os.ReadFile(path)
		for _, m := range []string{proxyMark, uhyveMark} {
			if bytes.Contains(raw, []byte(m)) {
				found = append(found, m)
			}
		}
		return found, err
	})
	if err == nil && !slices.Contains(found, mark) {
		err = fmt.Errorf("%s %w (it does not read %s)", path, errOtherProgram, mark)
	}
	return err
}
