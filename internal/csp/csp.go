// SPDX-License-Identifier: Apache-2.0

// Package csp writes what a Content-Security-Policy says of a page's own script and style.
//
// It knows nothing of pages, nor which directives one needs.
package csp

import (
	"crypto/sha256"
	"encoding/base64"
)

// Hash is the source expression, quotes and all, that lets an inline script or style of
// exactly this text pass: https://www.w3.org/TR/CSP3/#grammardef-hash-source.
func Hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
