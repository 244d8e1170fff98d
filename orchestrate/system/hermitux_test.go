// SPDX-License-Identifier: Apache-2.0

package system

import (
	"debug/elf"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ukprobe/ukprobe/orchestrate/matrix"
)

func hermituxKernel(t *testing.T) string {
	return guestImage{class: elf.ELFCLASS64, osABI: elfOSABIHermit}.file(t)
}

// linuxProgram is a static one.
func linuxProgram(t *testing.T) string { return guestImage{class: elf.ELFCLASS64}.file(t) }

// TestHermiTuxRedis: its redis.conf is the guest's, through the memory file system,
// as in eurosys21-artifacts' fig_12 impl/hermitux-uhyve-redis.sh.
func TestHermiTuxRedis(t *testing.T) {
	program := linuxProgram(t)
	conf := filepath.Join(filepath.Dir(program), "redis.conf")
	settings := matrix.Settings{Kernel: hermituxKernel(t), Initrd: program}
	h := &HermiTux{env: Env{WorkDir: t.TempDir()}}
	if _, err := h.Prepare(t.Context(), want(redisApp, uhyvePlatform, settings)); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "listens on port 8000 by the redis.conf beside it") {
		t.Errorf("without redis.conf: %v", err)
	}
	if err := os.WriteFile(conf, []byte("port 8000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := h.Prepare(t.Context(), want(redisApp, uhyvePlatform, settings))
	if err != nil {
		t.Fatal(err)
	}
	if line, err := h.CommandLine(b, aNetwork()); line != "redis.conf" || err != nil || b.Service.Port != 8000 {
		t.Errorf("%q, port %d, %v", line, b.Service.Port, err)
	}
	if len(b.Env) != 2 || b.Env[0] != "HERMIT_MINIFS=1" {
		t.Fatalf("environment %q", b.Env)
	}
	listing, _ := strings.CutPrefix(b.Env[1], "HERMIT_MINIFS_HOSTLOAD=")
	if raw, err := os.ReadFile(listing); err != nil || string(raw) != conf+";redis.conf\n" {
		t.Errorf("%s: %q, %v", listing, raw, err)
	}
	settings.Args, settings.Port = "/etc/own.conf", 6379
	b, err = h.Prepare(t.Context(), want(redisApp, uhyvePlatform, settings))
	if err != nil || b.Env != nil || b.Args != "/etc/own.conf" || b.Service.Port != 6379 {
		t.Errorf("own arguments: %q, %q, %+v, %v", b.Env, b.Args, b.Service, err)
	}
}

func TestHermiTuxImages(t *testing.T) {
	program, kernel := linuxProgram(t), hermituxKernel(t)
	hermit := guestImage{class: elf.ELFCLASS64, osABI: elfOSABIHermit, notes: note("HERMIT", 0x5a00)}.file(t)
	pie := guestImage{class: elf.ELFCLASS64, kind: elf.ET_DYN, notes: note("HERMIT", 0x5a00)}.file(t)
	dynamic := write(t, elf64(elf.EM_X86_64, load{elf.PT_LOAD, rx, 1 << 20, 1 << 20, 4096}, load{typ: elf.PT_INTERP}))
	tests := []struct {
		name     string
		app      string
		settings matrix.Settings
		kind     error
		err      string
		segments int
	}{
		{"HermiTux", Hello, matrix.Settings{Kernel: kernel, Initrd: program}, nil, "", 1},
		{"Hermit", Hello, matrix.Settings{Kernel: hermit}, nil, "", 1},
		{"Hermit that lies anywhere", Hello, matrix.Settings{Kernel: pie}, nil, "", 0},
		{"no program", Hello, matrix.Settings{Kernel: kernel}, nil, "name the Linux program that it is to run (initrd:)", 0},
		{"a program for Hermit", Hello, matrix.Settings{Kernel: hermit, Initrd: program}, ErrUnsupported, "is Hermit's, with its program in it", 0},
		{"a dynamic program", Hello, matrix.Settings{Kernel: kernel, Initrd: dynamic}, ErrUnsupported, "is dynamic: link it statically", 0},
		{"no ELF", Hello, matrix.Settings{Kernel: kernel, Initrd: write(t, []byte("#!/bin/sh"))}, nil, "HermiTux runs 64-bit Linux programs", 0},
		{"a kernel for QEMU", Hello, matrix.Settings{Kernel: guestImage{class: elf.ELFCLASS32, multiboot: true}.file(t), Initrd: program}, ErrUnsupported, "is an ELF file with a multiboot header, and no kernel for uhyve", 0},
		{"nothing", Hello, matrix.Settings{}, ErrNoImage, "name a kernel", 0},
	}
	for _, tt := range tests {
		b, err := (&HermiTux{}).Prepare(t.Context(), want(tt.app, uhyvePlatform, tt.settings))
		switch {
		case tt.err == "" && (err != nil || len(b.Segments) != tt.segments):
			t.Errorf("%s: %v, segments %+v", tt.name, err, b.Segments)
		case tt.err != "" && (err == nil || tt.kind != nil && !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.err)):
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// TestHermiTuxHasNoNginx: that is known, and not a failure.
func TestHermiTuxHasNoNginx(t *testing.T) {
	err := Supports(&HermiTux{}, Want{App: Nginx, Platform: uhyvePlatform})
	if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "epoll") {
		t.Errorf("nginx: %v", err)
	}
	for _, app := range []string{Hello, redisApp, sqliteApp} {
		if err := Supports(&HermiTux{}, Want{App: app, Platform: uhyvePlatform}); err != nil {
			t.Errorf("%s: %v", app, err)
		}
	}
}

// TestHermiTuxDescribe: a plan names the program's place too.
func TestHermiTuxDescribe(t *testing.T) {
	b := (&HermiTux{}).Describe(want(redisApp, uhyvePlatform, matrix.Settings{}))
	if diff := cmp.Diff([]string{Unbuilt, Unbuilt, "redis.conf"}, []string{b.Kernel, b.Initrd, b.Args}); diff != "" {
		t.Error(diff)
	}
}
