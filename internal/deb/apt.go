// SPDX-License-Identifier: Apache-2.0

package deb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// apt runs the machine's apt with its state in folders of our own.
type apt struct {
	debs    string   // folder of the .deb files
	state   string   // folder of apt's private state
	options []string // -o options given to every apt command
	logf    func(string, ...any)
	updated bool // the lists were updated by this apt

	// Of a foreign suite, whose lists and sources are private too.
	foreign      bool
	security     bool   // the private sources name its security part
	sources      string // the text of the private sources
	writeSources func(security bool) error
}

// newApt prepares the folders for one suite below dir, writing the private
// sources of a foreign suite.
func newApt(dir, suite string, logf func(string, ...any)) (*apt, error) {
	own := ownCodename()
	if suite == own {
		suite = "" // the machine's own lists serve it
	}
	label := suite
	if label == "" {
		label = "own"
	}
	state := filepath.Join(dir, "state", label)
	a := &apt{debs: filepath.Join(dir, "debs", label), state: state, logf: logf}
	for _, d := range []string{a.debs, filepath.Join(state, "cache", "archives", "partial")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	// An empty status file: what is installed here must not choose for us.
	status := filepath.Join(state, "status")
	if err := os.WriteFile(status, nil, 0o644); err != nil {
		return nil, err
	}
	a.set("APT::Sandbox::User", "root") // _apt may not reach a folder of root's
	a.set("Dir::State::status", status)
	a.set("Dir::State::extended_states", filepath.Join(state, "extended_states"))
	a.set("Dir::Cache", filepath.Join(state, "cache"))
	a.set("Dir::Cache::pkgcache", "pkgcache.bin")
	a.set("Dir::Cache::srcpkgcache", "srcpkgcache.bin")
	if suite == "" {
		return a, nil
	}
	return a, a.useSuite(suite, own)
}

// useSuite points apt at private sources and lists for a foreign suite.
func (a *apt) useSuite(suite, own string) error {
	machine, err := machineSources("/etc/apt", own)
	if err != nil {
		return err
	}
	parts := filepath.Join(a.state, "sources.list.d")
	lists := filepath.Join(a.state, "lists")
	for _, d := range []string{parts, filepath.Join(lists, "partial")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	a.foreign = true
	a.set("Dir::Etc::SourceList", "/dev/null")
	a.set("Dir::Etc::SourceParts", parts)
	a.set("Dir::State::lists", lists)
	// Pins of the machine are meant for its own suite. Backports, which have a
	// low priority of their own, are preferred to the release below them.
	pin := fmt.Sprintf("Package: *\nPin: release n=%s\nPin-Priority: 990\n", suite)
	if !strings.HasSuffix(suite, "-backports") {
		pin = ""
	}
	preferences := filepath.Join(a.state, "preferences")
	if err := os.WriteFile(preferences, []byte(pin), 0o644); err != nil {
		return err
	}
	a.set("Dir::Etc::Preferences", preferences)
	a.set("Dir::Etc::PreferencesParts", "/dev/null")
	a.writeSources = func(security bool) error {
		foreign, err := forSuite(machine, own, suite, security)
		if err != nil {
			return err
		}
		a.sources = format(foreign)
		return os.WriteFile(filepath.Join(parts, "debian.sources"), []byte(a.sources), 0o644)
	}
	// A suite that turned out to have no security part is not asked again.
	_, err = os.Stat(filepath.Join(a.state, noSecurity))
	a.security = errors.Is(err, os.ErrNotExist)
	return a.writeSources(a.security)
}

// Files in a foreign suite's state folder.
const (
	noSecurity = "no-security" // says that the archive has no security part of the suite
	fetched    = "fetched"     // the sources whose lists were fetched, all of them
)

// listsComplete says whether the lists of all sources were fetched once.
func (a *apt) listsComplete() bool {
	if !a.foreign {
		return true // the machine's business
	}
	text, err := os.ReadFile(filepath.Join(a.state, fetched))
	return err == nil && string(text) == a.sources
}

func (a *apt) set(key, value string) {
	a.options = append(a.options, "-o", key+"="+value)
}

// run runs an apt command with the options set, in dir ("" for ours).
func (a *apt) run(ctx context.Context, dir, tool string, args ...string) ([]byte, error) {
	return runTool(ctx, dir, tool, append(append([]string{}, a.options...), args...)...)
}

// update refreshes the package lists, once per call into the package: the
// machine's with a plain "apt-get update", a foreign suite's in its folder.
func (a *apt) update(ctx context.Context) error {
	if a.updated {
		return nil
	}
	a.updated = true
	a.logf("apt-get update")
	if !a.foreign {
		if _, err := runTool(ctx, "", "apt-get", "update"); err != nil {
			return fmt.Errorf("%w (run \"apt-get update\" as root, with the network up)", err)
		}
		return nil
	}
	if err := a.updateForeign(ctx); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(a.state, fetched), []byte(a.sources), 0o644)
}

// updateForeign fetches a foreign suite's lists, without its security part if
// the archive has none.
func (a *apt) updateForeign(ctx context.Context) error {
	// Error-Mode=any: a list that could not be fetched is an error.
	args := []string{"-o", "APT::Update::Error-Mode=any", "update"}
	_, err := a.run(ctx, "", "apt-get", args...)
	if err == nil || !a.security || ctx.Err() != nil {
		return err
	}
	a.logf("apt-get update failed, trying again without the security suite: %v", err)
	if err := a.writeSources(false); err != nil {
		return err
	}
	if _, err := a.run(ctx, "", "apt-get", args...); err != nil {
		return errors.Join(err, a.writeSources(true))
	}
	a.security = false
	return os.WriteFile(filepath.Join(a.state, noSecurity), nil, 0o644)
}

// runTool runs a program without translations or questions, and returns its
// standard output. The error holds the end of what it wrote on stderr.
func runTool(ctx context.Context, dir, tool string, args ...string) ([]byte, error) {
	path, err := exec.LookPath(tool)
	if err != nil {
		return nil, fmt.Errorf("%s not found: a Debian machine with apt and dpkg is needed: %w", tool, err)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, fmt.Errorf("%s %s: %w: %s", tool, verb(args), err, tail(stderr.String()))
	}
	return stdout.Bytes(), nil
}

// verb leaves the -o options out of an argument list, for messages.
func verb(args []string) string {
	var kept []string
	for i := 0; i < len(args); i++ {
		if args[i] == "-o" {
			i++
			continue
		}
		kept = append(kept, args[i])
	}
	return strings.Join(kept, " ")
}

// tail returns the last lines of s on one line.
func tail(s string) string {
	const maxLines = 6
	lines := strings.Split(strings.TrimSpace(s), "\n")
	if len(lines) > maxLines {
		lines = lines[len(lines)-maxLines:]
	}
	return strings.Join(lines, "; ")
}
