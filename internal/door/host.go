// SPDX-License-Identifier: Apache-2.0

package door

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Named lets through only requests that name this machine, where the listener is on a
// loopback address: localhost, a loopback address, or one of names. Else a page of the web
// whose name is made to lead to 127.0.0.1 (DNS rebinding) could read, in the browser of
// somebody here, what is served to this machine only. A request without a host, as in
// HTTP/1.0, is of no browser.
func Named(at net.Addr, names []string, pages http.Handler) http.Handler {
	if t, ok := at.(*net.TCPAddr); !ok || !t.IP.IsLoopback() {
		return pages
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if host := hostname(r.Host); host != "" && !local(host) && !slices.ContainsFunc(names, func(n string) bool { return hostname(n) == host }) {
			http.Error(w, "this address is served to this machine only: ask for localhost, or for 127.0.0.1", http.StatusMisdirectedRequest)
			return
		}
		pages.ServeHTTP(w, r)
	})
}

// hostname is a host without its port, as names are compared.
func hostname(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}

func local(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}
