// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/ukprobe/ukprobe/internal/askprogram"
)

// tender is a Solo5 tender on this machine.
type tender struct {
	path    string
	named   bool   // devices are options with a name, from a manifest: since Solo5 0.6.0
	version string // as it says; "" before --version was added
	abi     uint32 // likewise; 0 for not known

	// Before 0.6.0: the options that it has, and whether it wants them given.
	net, block, insists bool
}

// findTender looks for a tender: beside the image, where Solo5 put it before 0.6.0
// and where the one goes that fits an image and not the others; else in PATH.
func findTender(program, kernel string) (tender, error) {
	switch beside, err := trusted(filepath.Join(filepath.Dir(kernel), program)); {
	case err == nil:
		return knownTender(beside)
	case !errors.Is(err, os.ErrNotExist):
		return tender{}, err
	}
	path, err := lookPath(program)
	if err != nil {
		return tender{}, notHere(fmt.Errorf("find %s: %w, nor beside %s: build Solo5 and put its tender there or into PATH (Debian has no package)", program, err, kernel))
	}
	return knownTender(path)
}

// tenders is what tenders said of themselves.
var tenders learnt[tender]

// knownTender asks a tender what it is, unless it has been asked.
func knownTender(path string) (tender, error) {
	return tenders.get(path, func() (tender, error) {
		text, err := askTender(path)
		if err != nil {
			return tender{}, err
		}
		t, err := parseTender(text)
		if err != nil {
			return tender{}, fmt.Errorf("%s --version: %w", path, err)
		}
		t.path = path
		// What belongs to which version is the same for hvt and spt, but only hvt
		// refuses to start with a module's option left out.
		t.insists = strings.HasPrefix(filepath.Base(path), solo5HVT.program)
		return t, nil
	})
}

// askTender has a tender tell its version. One that does not know the option prints
// its usage and fails, which tells as much.
func askTender(path string) (string, error) {
	text, err := askprogram.Ask(context.Background(), askprogram.Question{
		Argv: []string{path, "--version"}, Env: []string{"LC_ALL=C"}, Limit: 5 * time.Second, Stderr: true,
	})
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		return "", fmt.Errorf("ask %s what it is: %w", path, err)
	}
	return text, nil
}

var (
	tenderVersion = regexp.MustCompile(`(?m)^\S+ tender, version (\S+)$`)
	tenderABI     = regexp.MustCompile(`(?m)^ABI version ([0-9]+)$`)
	tenderOption  = regexp.MustCompile(`(?m)^ +--(net|disk|block)(=|:NAME=)`)
)

// parseTender reads what a tender prints for --version: its version and that of its
// interface, or its usage, in which the options show their form.
func parseTender(text string) (tender, error) {
	if m := tenderABI.FindStringSubmatch(text); m != nil {
		abi, err := strconv.ParseUint(m[1], 10, 32)
		if err != nil {
			return tender{}, fmt.Errorf("%q: not a version of the interface", m[0])
		}
		t := tender{named: true, abi: uint32(abi)}
		if v := tenderVersion.FindStringSubmatch(text); v != nil {
			t.version = v[1]
		}
		return t, nil
	}
	if !strings.Contains(text, "KERNEL is the filename of the unikernel") {
		return tender{}, fmt.Errorf("prints %q: no Solo5 tender does", text[:min(len(text), 80)])
	}
	var t tender
	for _, m := range tenderOption.FindAllStringSubmatch(text, -1) {
		t.named = t.named || m[2] != "="
		t.net = t.net || m[1] == "net"
		t.block = t.block || m[1] != "net"
	}
	return t, nil
}
