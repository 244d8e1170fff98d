// SPDX-License-Identifier: Apache-2.0

package door

import (
	"bufio"
	"net"
	"net/http"
	"testing"
)

// TestNamed: what is on loopback is not read by way of a foreign name.
func TestNamed(t *testing.T) {
	loopback, all := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, &net.TCPAddr{IP: net.IPv4zero, Port: 1}
	served := func(at net.Addr) string {
		return open(t, Named(at, []string{"myhost"}, http.HandlerFunc(hello)))
	}
	here, everywhere := served(loopback), served(all)
	for host, want := range map[string]int{
		"localhost": 200, "LOCALHOST.:9436": 200, "127.0.0.1:9436": 200, "127.8.0.1": 200, "[::1]:9436": 200, "[::1]": 200,
		"myhost": 200, "MyHost:1": 200, "": 200,
		"evil.example": 421, "localhost.evil.example": 421, "127.0.0.1.evil.example:9436": 421, "192.0.2.1": 421, "0.0.0.0": 421, "2130706433": 421,
	} {
		if got := asked(t, here, host); got != want {
			t.Errorf("on loopback, Host %q: %d, want %d", host, got, want)
		}
		if got := asked(t, everywhere, host); got != 200 {
			t.Errorf("on all addresses, Host %q: %d", host, got)
		}
	}
}

func asked(t *testing.T, addr, host string) int {
	t.Helper()
	c := dial(t, addr, "GET / HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
	defer c.Close()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}
