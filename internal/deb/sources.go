// SPDX-License-Identifier: Apache-2.0

package deb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// oneLineOptions are the options of sources.list(5)'s one-line format whose
// deb822 field has another name; all others keep theirs.
var oneLineOptions = map[string]string{
	"arch": "Architectures", "lang": "Languages", "target": "Targets",
}

// parseOneLine reads sources.list(5)'s one-line format into stanzas.
func parseOneLine(text string) []stanza {
	var all []stanza
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		kind, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if kind != "deb" {
			continue // empty, deb-src, or not a source at all
		}
		var options []field
		rest = strings.TrimSpace(rest)
		if strings.HasPrefix(rest, "[") {
			inner, after, ok := strings.Cut(rest[1:], "]")
			if !ok {
				continue
			}
			rest = after
			for _, o := range strings.Fields(inner) {
				name, value, _ := strings.Cut(o, "=")
				if renamed, ok := oneLineOptions[strings.ToLower(name)]; ok {
					name = renamed
				}
				options = append(options, field{name, strings.ReplaceAll(value, ",", " ")})
			}
		}
		words := strings.Fields(rest)
		if len(words) < 3 {
			continue // a flat repository, never Debian's archive
		}
		s := stanza{{"Types", "deb"}, {"URIs", words[0]}, {"Suites", words[1]}, {"Components", strings.Join(words[2:], " ")}}
		all = append(all, append(s, options...))
	}
	return all
}

// ownCodename returns the machine's release, such as "bookworm", or "" where
// os-release(5) names none.
func ownCodename() string {
	text, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "VERSION_CODENAME="); ok {
			return strings.Trim(value, `"'`)
		}
	}
	return ""
}

// machineSources reads the sources of Debian's archive from etc (/etc/apt).
// own is the machine's codename.
func machineSources(etc, own string) ([]stanza, error) {
	paths := []string{filepath.Join(etc, "sources.list")}
	for _, pattern := range []string{"*.list", "*.sources"} {
		more, err := filepath.Glob(filepath.Join(etc, "sources.list.d", pattern))
		if err != nil {
			return nil, err
		}
		paths = append(paths, more...)
	}
	var all []stanza
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if strings.HasSuffix(path, ".sources") {
			all = append(all, parseStanzas(string(text))...)
		} else {
			all = append(all, parseOneLine(string(text))...)
		}
	}
	debian := onlyDebian(all, own)
	if len(debian) == 0 {
		return nil, fmt.Errorf("no source of Debian's archive in %s/sources.list and %s/sources.list.d: "+
			"another suite's packages cannot be fetched", etc, etc)
	}
	return debian, nil
}

// onlyDebian keeps the enabled binary sources of Debian's archive: component
// main of a known suite. Where some of them are signed by Debian's keyring,
// those alone are kept: other vendors name their suites alike.
func onlyDebian(all []stanza, own string) []stanza {
	var kept, signed []stanza
	for _, s := range all {
		enabled := strings.ToLower(s.get("Enabled"))
		if slices.Contains([]string{"no", "false", "0", "off", "without", "disable"}, enabled) ||
			!slices.Contains(strings.Fields(s.get("Types")), "deb") ||
			!slices.Contains(strings.Fields(s.get("Components")), "main") ||
			!slices.ContainsFunc(strings.Fields(s.get("Suites")), func(suite string) bool { return kindOf(suite, own) != other }) {
			continue
		}
		kept = append(kept, s)
		if strings.Contains(s.get("Signed-By"), "debian-archive") {
			signed = append(signed, s)
		}
	}
	if len(signed) > 0 {
		return signed
	}
	return kept
}

// kind is what a suite's name says about its part of the archive.
type kind int

const (
	other kind = iota
	archive
	security
)

// releases are the names a Debian release may have in a source, besides the
// machine's own codename.
var releases = []string{
	"stable", "oldstable", "oldoldstable", "testing", "unstable", "sid",
	"buster", "bullseye", "bookworm", "trixie", "forky", "duke",
}

// kindOf classifies a suite of a source.
func kindOf(suite, own string) kind {
	base, part := suite, ""
	if i := strings.IndexAny(suite, "-/"); i >= 0 {
		base, part = suite[:i], suite[i+1:]
	}
	if base == "" || (base != own && !slices.Contains(releases, base)) {
		return other
	}
	switch part {
	case "", "updates", "proposed-updates", "backports", "backports-sloppy":
		if strings.HasSuffix(suite, "/updates") {
			return security // until buster
		}
		return archive
	case "security":
		return security
	}
	return other
}

// forSuite rewrites the machine's sources for another suite: the archive's
// sources name the suite (and the release that backports build on), the
// security sources its security part, or go if withSecurity is false.
func forSuite(machine []stanza, own, suite string, withSecurity bool) ([]stanza, error) {
	if !validName(suite) {
		return nil, fmt.Errorf("%q is not the name of a Debian suite", suite)
	}
	base, _ := strings.CutSuffix(suite, "-backports")
	archiveSuites := suite
	if base != suite {
		archiveSuites = base + " " + suite
	}
	var out []stanza
	seen := map[string]bool{}
	add := func(s stanza, suites string) {
		s = s.with("Types", "deb").with("Suites", suites).with("Components", "main").with("Targets", "Packages")
		key := strings.Join(strings.Fields(s.get("URIs")), " ") + " " + suites
		if !seen[key] {
			seen[key] = true
			out = append(out, s)
		}
	}
	for _, s := range machine {
		var hasArchive, hasSecurity bool
		for _, name := range strings.Fields(s.get("Suites")) {
			switch kindOf(name, own) {
			case archive:
				hasArchive = true
			case security:
				hasSecurity = true
			}
		}
		if hasArchive {
			add(s, archiveSuites)
		}
		if hasSecurity && withSecurity {
			add(s, base+"-security")
		}
	}
	return out, nil
}
