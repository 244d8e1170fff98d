// SPDX-License-Identifier: Apache-2.0

// Package strictyaml reads the YAML files that people write for ukprobe, strictly:
// nothing is converted, unknown and repeated keys are errors, and every mistake has
// its file, line and column, a quotation and, where there is one, the word that will
// have been meant. Parts of YAML that can be made to explode (aliases, tags, nesting
// without end) are refused.
//
// It knows no file's keys: those are its callers'.
package strictyaml
