// SPDX-License-Identifier: Apache-2.0

// Package matrices holds the built-in matrix files. It knows nothing of what
// is in them; orchestrate/matrix reads them.
package matrices

import "embed"

// FS holds the files, each named NAME.yaml.
//
//go:embed *.yaml
var FS embed.FS

// Default is the file that `ukprobe run` without --matrix takes.
const Default = "quick.yaml"

// Validate is the file that `ukprobe validate` without --matrix takes.
const Validate = "validate.yaml"
