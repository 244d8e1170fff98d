// SPDX-License-Identifier: Apache-2.0

package system

import (
	"cmp"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"

	"github.com/ukprobe/ukprobe/internal/regular"
)

// HermiTux runs a Linux program, unmodified, on HermitCore's kernel in HermitCore's
// VMM; the kernel is the image and the program stands in the initrd's place. An
// image of Hermit in Rust, HermitCore's successor, is one file of kernel and program
// and is taken in the kernel's place alone.
type HermiTux struct{ env Env }

// Name implements System.
func (*HermiTux) Name() string { return "hermitux" }

// hermituxApps: what makes them ready.
var hermituxApps = map[string]struct {
	ready   string
	service *Service
}{
	Hello: {ready: "^(?i:hello)"}, // ssrg-vt/hermitux apps/hello-world/hello.c; uhyve's data/…/hello_world
	// ssrg-vt/hermitux apps/redis-2.0.4/redis.conf: port 8000.
	redisApp: {service: &Service{Port: hermituxRedisPort, Request: redisPing()}},
	// ssrg-vt/hermitux apps/sqlite/sqlite3_test.c, its last line, which the published
	// evaluation waits for (eurosys21-artifacts fig_11 impl/hermitux.sh).
	sqliteApp: {ready: "^Retrieval took"},
}

const hermituxRedisPort = 8000

// Apps implements System. nginx is one that it is known for not having: see Limit.
func (h *HermiTux) Apps() []string {
	return h.env.apps(h.Name(), Hello, redisApp, sqliteApp, Nginx)
}

// Platforms implements System.
func (*HermiTux) Platforms() []string { return []string{uhyvePlatform} }

// Limit implements System. The missing calls are missing in ssrg-vt/hermitux-kernel,
// kernel/syscalls; eurosys21-artifacts has no nginx on HermiTux either.
func (*HermiTux) Limit(w Want) string {
	if w.App == Nginx {
		return "HermiTux has none of the system calls that nginx' workers are made with and wait by (fork, epoll_create, epoll_wait, socketpair), and the published evaluations have no nginx on it"
	}
	return ""
}

// Describe implements System.
func (h *HermiTux) Describe(w Want) Boot {
	app := hermituxApps[w.App]
	b := Boot{Platform: w.Platform, Kernel: cmp.Or(w.Settings.Kernel, Unbuilt), Initrd: w.Settings.Initrd, Ready: app.ready}
	if b.Kernel == Unbuilt {
		b.Initrd = cmp.Or(b.Initrd, Unbuilt)
	}
	if app.service != nil {
		b.Service = &Service{Port: app.service.Port, Request: app.service.Request}
	}
	if m, err := h.env.entry(h.Name(), w); err == nil {
		b.describe(m)
	}
	b.override(w.Settings)
	if w.App == redisApp && b.Cmdline+b.Args == "" && b.Initrd != "" {
		b.Args = "redis.conf"
	}
	return b
}

// Prepare implements System.
func (h *HermiTux) Prepare(ctx context.Context, w Want) (Boot, error) {
	b, err := h.env.prepared(ctx, h, w)
	if err != nil {
		return Boot{}, err
	}
	l, err := whoLoads(b.Kernel)
	if err != nil {
		return Boot{}, err
	}
	switch {
	case l.isHermitCore():
		if err := hermituxProgram(b.Initrd); err != nil {
			return Boot{}, err
		}
	case l.isHermit():
		if b.Initrd != "" {
			return Boot{}, fmt.Errorf("%w: image %s is Hermit's, with its program in it: leave %s out (initrd:), which is for HermiTux' kernel", ErrUnsupported, b.Kernel, b.Initrd)
		}
		if l.kind == elf.ET_DYN { // uhyve puts it anywhere
			b.Segments = nil
		}
	default:
		return Boot{}, fmt.Errorf("%w: image %s is %s, and no kernel for uhyve: give HermiTux' kernel (prefix/x86_64-hermit/extra/tests/hermitux) or an image of Hermit", ErrUnsupported, b.Kernel, l.what())
	}
	if b.Args == "redis.conf" && w.App == redisApp {
		if err := h.redisConfig(ctx, &b); err != nil {
			return Boot{}, err
		}
	}
	return b, nil
}

// isHermitCore tells an image of HermitCore in C, such as HermiTux' kernel
// (hermitux-kernel, tools/uhyve.c: load_kernel).
func (l loadable) isHermitCore() bool {
	return l.isELF && l.class == elf.ELFCLASS64 && l.machine == elf.EM_X86_64 && l.kind == elf.ET_EXEC && l.osABI == elfOSABIHermit && !l.hermit
}

// isHermit tells an image of Hermit in Rust, by the note with the version of its entry
// (hermit-entry).
func (l loadable) isHermit() bool {
	return l.isELF && l.class == elf.ELFCLASS64 && l.machine == elf.EM_X86_64 && l.hermit
}

// hermituxProgram checks the program: it is loaded by itself, or for a dynamic one its
// loader is.
func hermituxProgram(path string) error {
	if path == "" {
		return errors.New("HermiTux' kernel is named and no program: name the Linux program that it is to run (initrd:)")
	}
	f, err := regular.Open(path)
	if err != nil {
		return fmt.Errorf("program: %w", err)
	}
	defer f.Close()
	e, err := elf.NewFile(f)
	if err != nil {
		return fmt.Errorf("program %s: %w: HermiTux runs 64-bit Linux programs", path, err)
	}
	if e.Class != elf.ELFCLASS64 || e.Machine != elf.EM_X86_64 {
		return fmt.Errorf("%w: program %s is for %s: HermiTux runs 64-bit Linux programs for x86-64", ErrUnsupported, path, e.Machine)
	}
	for _, p := range e.Progs {
		if p.Type == elf.PT_INTERP {
			return fmt.Errorf("%w: program %s is dynamic: link it statically, or name its loader (/lib64/ld-linux-x86-64.so.2) as the program and it in the arguments (args:)", ErrUnsupported, path)
		}
	}
	return nil
}

// redisConfig has the guest find its redis.conf. HermiTux' own lies beside the
// program; it is loaded into the guest's memory file system, as the published
// evaluation does it (eurosys21-artifacts fig_12 impl/hermitux-uhyve-redis.sh).
func (h *HermiTux) redisConfig(ctx context.Context, b *Boot) error {
	conf, err := filepath.Abs(filepath.Join(filepath.Dir(b.Initrd), "redis.conf"))
	if err != nil {
		return fmt.Errorf("redis.conf: %w", err)
	}
	if _, err := b.measure(ctx, PartConfig, conf); err != nil {
		return fmt.Errorf("%w: HermiTux' Redis listens on port %d by the redis.conf beside it: put it there, or give arguments and a port (args:, port:)", err, hermituxRedisPort)
	}
	if strings.ContainsAny(conf, ";\n") {
		return fmt.Errorf("%s: HermiTux cannot be told a path with a semicolon: put it elsewhere", conf)
	}
	listing := filepath.Join(h.env.WorkDir, fmt.Sprintf("hermitux-%08x.minifs", crc32.ChecksumIEEE([]byte(conf)))) // one for each
	// Format: hermitux apps/redis-2.0.4/.minifs.
	if err := os.WriteFile(listing, []byte(conf+";redis.conf\n"), 0o600); err != nil {
		return fmt.Errorf("write the list of HermiTux' files: %w", err)
	}
	b.Env = []string{"HERMIT_MINIFS=1", "HERMIT_MINIFS_HOSTLOAD=" + listing}
	return nil
}

// CommandLine implements System: the program's arguments. The addresses of a network
// are told by the VMM: see platform uhyve.
func (h *HermiTux) CommandLine(b Boot, _ *Addresses) (string, error) {
	if err := b.noNetworkWords("the VMM tells HermiTux its address"); err != nil {
		return "", err
	}
	return strings.TrimSpace(b.Cmdline + " " + b.Args), nil
}
