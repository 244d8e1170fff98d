// SPDX-License-Identifier: Apache-2.0

// Package shell writes words so that a POSIX shell reads them as they are. It does not know
// what the words are of, nor what a terminal does with them: who prints text of elsewhere
// cleans it as any other.
package shell

import "strings"

// plain are the characters that no shell acts on, wherever in a word they stand.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+.,:/@%"

// Quote is a word as a shell reads it: in single quotes unless it is plain. What is not
// ASCII, and control characters, are kept within them.
func Quote(word string) string {
	if word != "" && strings.Trim(word, plain) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// Join is a command line of words, each of them quoted.
func Join(words []string) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = Quote(w)
	}
	return strings.Join(out, " ")
}
