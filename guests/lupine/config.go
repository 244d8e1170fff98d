// SPDX-License-Identifier: Apache-2.0

package lupine

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

//go:embed config/*.config
var files embed.FS

// option is one line of a Kconfig fragment.
type option struct {
	name, value string // CONFIG_NET, y
	from        string // the fragment's name
}

func (o option) String() string { return o.name + "=" + o.value }

// wanted returns the options of fragments, in their order, each once.
func wanted(fsys fs.FS, names []string) ([]option, error) {
	var all []option
	first := map[string]option{}
	for _, name := range names {
		text, err := fs.ReadFile(fsys, "config/"+name+".config")
		if err != nil {
			return nil, err
		}
		options, err := parse(string(text), name)
		if err != nil {
			return nil, err
		}
		for _, o := range options {
			before, seen := first[o.name]
			switch {
			case !seen:
				first[o.name] = o
				all = append(all, o)
			case before.value != o.value:
				return nil, fmt.Errorf("fragments %s and %s of lupine's configuration disagree: %v, %v", before.from, o.from, before, o)
			}
		}
	}
	return all, nil
}

// parse reads a fragment: lines CONFIG_NAME=VALUE, comments, and empty lines.
func parse(text, from string) ([]option, error) {
	var options []option
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok || value == "" || !strings.HasPrefix(name, "CONFIG_") {
			return nil, fmt.Errorf("%s.config, line %d: %q: want CONFIG_NAME=VALUE", from, n, line)
		}
		options = append(options, option{name, value, from})
	}
	return options, nil
}

// check says which of the wanted options a whole configuration does not have:
// Kconfig drops one without a word if something that it depends on is off.
func check(config string, options []option) error {
	has := map[string]bool{}
	for line := range strings.Lines(config) {
		has[strings.TrimSpace(line)] = true
	}
	var missing []error
	for _, o := range options {
		if !has[o.String()] {
			missing = append(missing, fmt.Errorf("%v of %s.config is not in the kernel's configuration: it is unknown there, or depends on an option that is off", o, o.from))
		}
	}
	return errors.Join(missing...)
}

// count returns how many options a whole configuration switches on.
func count(config string) int {
	n := 0
	for line := range strings.Lines(config) {
		if strings.HasPrefix(line, "CONFIG_") && strings.HasSuffix(strings.TrimSpace(line), "=y") {
			n++
		}
	}
	return n
}
