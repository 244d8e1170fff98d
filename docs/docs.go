// SPDX-License-Identifier: Apache-2.0

// Package docs holds those documents that the program itself shows, in its manual pages.
package docs

import _ "embed"

// ExitStatus is exit-status.md.
//
//go:embed exit-status.md
var ExitStatus string
