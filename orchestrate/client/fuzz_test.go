// SPDX-License-Identifier: Apache-2.0

package client

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"unicode"
)

// FuzzExpectHTTP200 holds what must be true of whatever a guest answers: no panic,
// only a 200 is taken as one, and an error can be printed on a terminal.
func FuzzExpectHTTP200(f *testing.F) {
	for _, seed := range []string{
		"", "H", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
		"HTTP/1.0 200 OK\r\n\r\nhello", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "SSH-2.0-x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 \x1b[2J\r\n\r\n", "HTTP/1.1 404 \x1b[2J\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, received []byte) {
		done, err := ExpectHTTP200(received)
		if done && err != nil {
			t.Fatalf("done and wrong: %v", err)
		}
		if err != nil {
			if strings.ContainsFunc(err.Error(), unicode.IsControl) {
				t.Fatalf("a control character in %q", err)
			}
			return
		}
		if done && (!bytes.HasPrefix(received, []byte("HTTP/")) || !bytes.Contains(received, []byte("\r\n\r\n"))) {
			t.Fatalf("%q is taken for a whole answer", received)
		}
		if done && !bytes.Contains(received, []byte("200")) {
			t.Fatalf("%q is taken for a %d", received, http.StatusOK)
		}
	})
}
