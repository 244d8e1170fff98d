// SPDX-License-Identifier: Apache-2.0

package system

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Unikraft is a library operating system: one ELF file of the app and what it needs.
// Its words are written as KraftKit does it (unikraft/kraftkit,
// machine/qemu/v1alpha1.go and machine/firecracker/v1alpha1.go).
type Unikraft struct{ env Env }

// Name implements System.
func (*Unikraft) Name() string { return "unikraft" }

// unikraftApps: what makes them ready, and their arguments if the cell gives none.
var unikraftApps = map[string]struct {
	ready   string
	service *Service
	args    string
}{
	// unikraft/app-helloworld main.c; later examples say "Hello from Unikraft!".
	Hello: {ready: "^Hello"},
	// unikraft/app-nginx scripts/run.yaml.
	Nginx: {service: &Service{Port: 80, Request: httpGet()}, args: "-c /nginx/conf/nginx.conf"},
	DNS:   {service: dnsService()},
	// unikraft/eurosys21-artifacts fig_12 impl/unikraft-qemu-redis.sh.
	redisApp: {service: &Service{Port: 6379, Request: redisPing()}, args: "/redis.conf"},
	// SQLite's shell.c, at the start of an interactive shell; its prompt ends no line.
	sqliteApp: {ready: "^SQLite version "},
}

// unikraftQEMU: Unikraft reads the RTC at its start, and waits forever where there is
// none. It takes the TSC's frequency from CPUID leaf 0x40000010, which QEMU has only
// where the TSC is invariant and the CPU not to be migrated, as the published
// evaluation starts it (eurosys21-artifacts fig_10 benchmark.sh); else it measures
// 0.1 s against the PIT, and waits forever where there is none (unikraft
// plat/kvm/x86/tscclock.c).
var unikraftQEMU = QEMU{Microvm: "pit=on,rtc=on", CPU: "migratable=no,+invtsc"}

// Apps implements System.
func (u *Unikraft) Apps() []string {
	return u.env.apps(u.Name(), Hello, Nginx, redisApp, sqliteApp, DNS)
}

// Platforms implements System.
func (*Unikraft) Platforms() []string {
	return []string{qemuPlatform, qemu1NIC, qemuMicroVM, firecrackerVMM}
}

// Limit implements System.
func (*Unikraft) Limit(Want) string { return "" }

// Describe implements System.
func (u *Unikraft) Describe(w Want) Boot {
	app := unikraftApps[w.App]
	b := Boot{Platform: w.Platform, Kernel: cmp.Or(w.Settings.Kernel, Unbuilt), Initrd: w.Settings.Initrd, Ready: app.ready, Args: app.args}
	if app.service != nil {
		b.Service = &Service{Port: app.service.Port, Request: app.service.Request}
	}
	b.QEMU = unikraftQEMU
	if m, err := u.env.entry(u.Name(), w); err == nil && m != nil {
		b.describe(m)
		if b.Cmdline != "" {
			b.Args = "" // the entry's are there
		}
	}
	b.override(w.Settings)
	b.Unikraft = unbuiltUnikraft
	if found, err := inspectUnikraft(b.Kernel); err == nil {
		b.Unikraft = found
	}
	return b
}

// Prepare implements System.
func (u *Unikraft) Prepare(ctx context.Context, w Want) (Boot, error) {
	b, err := u.env.prepared(ctx, u, w)
	if err != nil {
		return Boot{}, err
	}
	if err := fits(b, "multiboot, platform qemu (plat: qemu in its Kraftfile)", "lxboot, platform firecracker (plat: fc)"); err != nil {
		return Boot{}, err
	}
	if b.Unikraft, err = inspectUnikraft(b.Kernel); err != nil {
		return Boot{}, err
	}
	b.Version = cmp.Or(b.Version, b.Unikraft.Version)
	if b.Packed && b.Cmdline == "" && w.Settings.Args == "" { // as kraft runs it
		b.Args = strings.Join(append([]string{"--"}, b.PackedArgs...), " ")
	}
	return b, nil
}

// CommandLine implements System: `[library parameters] -- [arguments of the app]`.
//
// QEMU's multiboot loader puts the image's path in front, as the program's name;
// Firecracker puts nothing there.
func (u *Unikraft) CommandLine(b Boot, net *Addresses) (string, error) {
	if net != nil && (b.Entry == nil || b.Entry.Network == "") {
		switch {
		case b.Unikraft.Network == UnikraftUnknown:
			return "", fmt.Errorf("image %s: nothing in it tells how it learns its address (neither a parameter of uknetdev nor Unikraft's version): say so in an entry of the catalogue (network:)", b.Kernel)
		case b.Unikraft.Network == UnikraftNoAddress && b.Service != nil:
			return "", fmt.Errorf("%w: image %s (Unikraft %s) was built without parameters for its address and can only ask for it: set address: dhcp", ErrUnsupported, b.Kernel, b.Unikraft.Version)
		}
	}
	return u.line(b, b.words(net, b.Unikraft.words)), nil
}

// AskingCommandLine implements Asker: without an address lwip asks by DHCP
// (unikraft/lib-lwip, init.c, if it was built with that).
func (u *Unikraft) AskingCommandLine(b Boot) string { return u.line(b, "") }

// line puts the network's words before the other library parameters, or where the
// catalogue wants them.
func (*Unikraft) line(b Boot, network string) string {
	if b.Entry != nil && strings.Contains(b.Cmdline, "{network}") {
		return b.commandLine(network)
	}
	params, args := splitWords(b.Cmdline, b.Args)
	words := append(strings.Fields(network), params...)
	if b.Initrd != "" && b.Unikraft.Fstab && !slices.ContainsFunc(params, func(p string) bool { return strings.HasPrefix(p, "vfs.fstab=") }) {
		words = append(words, strings.Fields(initrdAsRoot)...)
	}
	if b.Platform == firecrackerVMM {
		words = append([]string{filepath.Base(b.Kernel)}, words...)
	}
	if len(words) > 0 && b.Unikraft.Params {
		words = append(words, "--") // an image without library parameters would take it for an argument
	}
	return strings.Join(append(words, args...), " ")
}

// initrdAsRoot has the initrd unpacked as the root file system: KraftKit's entry for
// it, `device:path:driver[:flags[:options[:ukopts]]]` (lib/vfscore/automount.c).
const initrdAsRoot = `vfs.fstab=[ "initrd0:/:extract::ramfs=1:" ]`

// splitWords takes command lines apart at the first "--" of each: what is before it
// are library parameters. One without is all the app's.
func splitWords(lines ...string) (params, args []string) {
	for _, line := range lines {
		words := strings.Fields(line)
		if i := slices.Index(words, "--"); i >= 0 {
			params = append(params, words[:i]...)
			words = words[i+1:]
		}
		args = append(args, words...)
	}
	return params, args
}

// words are the parameters of uknetdev for an address.
func (u UnikraftImage) words(a Addresses) string {
	address, gateway := a.Prefix.Addr().String(), a.Gateway.String()
	switch u.Network {
	case UnikraftIP:
		// KraftKit's, with the gateway, and no name server and names.
		return "netdev.ip=" + a.Prefix.String() + ":" + gateway + "::::"
	case UnikraftIPv4:
		// eurosys21-artifacts fig_11 impl/unikraft.sh.
		return "netdev.ipv4_addr=" + address + " netdev.ipv4_gw_addr=" + gateway + " netdev.ipv4_subnet_mask=" + Netmask(a.Prefix)
	}
	return ""
}
