// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"path"
	"strings"
)

// initScript returns the end of /init in the app's image: it runs the same
// command as the bare process, as a child, so that its end is told and is not
// a kernel panic.
func (r recipe) initScript() ([]byte, error) {
	if r.initApp != "" {
		return file(r.initApp)
	}
	name := path.Base(r.argv[0])
	var words []string
	for _, w := range r.argv {
		words = append(words, shellQuote(w))
	}
	command := strings.Join(words, " ")
	if !r.job {
		return fmt.Appendf(nil, "%s\nfail \"%s ended with status $?\"\n", command, name), nil
	}
	return fmt.Appendf(nil, `%s || fail "%s ended with status $?"
[ "$end" != idle ] || exec /bin/busybox sleep infinity
/bin/busybox "$end" -f # reboot or poweroff
`, command, name), nil
}

// shellQuote writes a word so that a shell takes it as it is.
func shellQuote(word string) string {
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
