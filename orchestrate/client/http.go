// SPDX-License-Identifier: Apache-2.0

package client

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strconv"
)

// HTTPGet fills in a request for a path, "/" for instance, and what to expect:
// one whole HTTP answer with status 200.
func HTTPGet(addr netip.AddrPort, path string) Request {
	return Request{
		Addr:    addr,
		Payload: fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: ukprobe\r\nConnection: close\r\n\r\n", path, addr),
		Expect:  ExpectHTTP200,
	}
}

// ExpectHTTP200 is a Request.Expect: it is done when headers and body are whole.
// A body whose end only the connection's end would show (HTTP/1.0 without
// Content-Length) is taken as whole with the headers.
func ExpectHTTP200(received []byte) (bool, error) {
	header, _, whole := bytes.Cut(received, []byte("\r\n\r\n"))
	if !whole {
		if n := min(len(received), 5); string(received[:n]) != "HTTP/"[:n] {
			return false, fmt.Errorf("not an HTTP answer: %.40q", received)
		}
		return false, nil
	}
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(received)), nil)
	if err != nil {
		return false, fmt.Errorf("not an HTTP answer: %w: %.80q", err, header)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return false, fmt.Errorf("the service answered %s, want 200", printable(resp.Status))
	}
	if resp.ContentLength < 0 && len(resp.TransferEncoding) == 0 {
		return true, nil
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("HTTP body: %w", err)
	}
	return true, nil
}

// printable is a text from a guest, with what could drive a person's terminal
// escaped.
func printable(s string) string {
	quoted := strconv.Quote(s)
	return quoted[1 : len(quoted)-1]
}
