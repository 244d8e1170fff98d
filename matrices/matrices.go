// SPDX-License-Identifier: Apache-2.0

// Package matrices holds the built-in matrix files. It knows nothing of what
// is in them; orchestrate/matrix reads them.
package matrices

import (
	"embed"
	"strings"
)

// FS holds the files, each named NAME.yaml.
//
//go:embed *.yaml
var FS embed.FS

// Default is the file that `ukprobe run` without --matrix takes.
const Default = "quick.yaml"

// Validate is the file that `ukprobe validate` without --matrix takes.
const Validate = "validate.yaml"

// Names are those of the files, without their ending.
func Names() []string {
	entries, _ := FS.ReadDir(".") // of what is built in
	var out []string
	for _, e := range entries {
		out = append(out, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	return out
}
