// SPDX-License-Identifier: Apache-2.0

package firecracker

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"

	"github.com/ukprobe/ukprobe/internal/askprogram"
)

// Version is a release of Firecracker. The zero Version is one that is not known.
type Version struct{ Major, Minor, Patch int }

// When things began, by CHANGELOG.md.
var (
	Oldest         = Version{0, 18, 0} // the first that ukprobe drives
	initrdSince    = Version{0, 21, 0} // initrd_path
	logArgsSince   = Version{0, 22, 0} // --log-path, --level; log_fifo is gone
	bootTimerSince = Version{0, 23, 0} // --boot-timer; always there before
	jailerSince    = Version{0, 23, 0} // no cgroup unless one is asked for
	smtSince       = Version{1, 0, 0}  // was ht_enabled
	initArgsSince  = Version{1, 0, 0}  // #2709: words of its own go before --
	bzImageSince   = Version{1, 17, 0} // #6037, after 1.16
)

// Before compares two versions.
func (v Version) Before(o Version) bool {
	switch {
	case v.Major != o.Major:
		return v.Major < o.Major
	case v.Minor != o.Minor:
		return v.Minor < o.Minor
	}
	return v.Patch < o.Patch
}

// Unknown says that the version is not known.
func (v Version) Unknown() bool { return v == Version{} }

// String writes a version as Firecracker does, without its v.
func (v Version) String() string {
	if v.Unknown() {
		return "of unknown version"
	}
	return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch)
}

// versionText is a version at the beginning of a line, behind a word or none:
// "firecracker 0.18.0", "Firecracker v1.14.2", "1.7.0", "v1.0.0-44-gc73a27cb-dirty".
var versionText = regexp.MustCompile(`^(?:[A-Za-z]+ )?v?([0-9]{1,6})\.([0-9]{1,6})\.([0-9]{1,6})(?:[-+][-+.0-9A-Za-z]*)?(?:\s|$)`)

// ParseVersion reads what --version prints, or the vmm_version of the API.
func ParseVersion(text string) (Version, error) {
	m := versionText.FindStringSubmatch(text)
	if m == nil {
		return Version{}, fmt.Errorf("no version in %q", printable(text, 100))
	}
	var n [3]int
	for i := range n {
		n[i], _ = strconv.Atoi(m[i+1]) // at most six digits
	}
	v := Version{n[0], n[1], n[2]}
	if v.Unknown() {
		return Version{}, fmt.Errorf("no version in %q", printable(text, 100))
	}
	return v, nil
}

// askTime is how long a binary may take to tell its version.
const askTime = 10 * time.Second

// AskVersion runs a binary with --version. The version is Unknown, and the error nil,
// if the binary does not know that option, as 0.21 does not; its API then tells.
func AskVersion(ctx context.Context, path string) (Version, error) {
	text, err := askprogram.Ask(ctx, askprogram.Question{Argv: []string{path, "--version"}, Limit: askTime})
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil, errors.Is(err, context.DeadlineExceeded):
		return Version{}, fmt.Errorf("run %s --version: %w", path, err)
	case errors.As(err, &exit) && exit.Exited():
		return Version{}, nil
	case err != nil:
		return Version{}, fmt.Errorf("run %s --version: %w: is it a Firecracker for this machine?", path, err)
	}
	v, err := ParseVersion(text)
	switch {
	case err != nil:
		return Version{}, fmt.Errorf("run %s --version: %w: is it Firecracker?", path, err)
	case v.Before(Oldest):
		return Version{}, fmt.Errorf("%s is version %s: use %s or newer", path, v, Oldest)
	}
	return v, nil
}
