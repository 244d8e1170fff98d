// SPDX-License-Identifier: Apache-2.0

// Package door is what stands between a port and the pages that ukprobe serves on it:
// bounds on how many may come, how long they may take and how much they may say, so that
// nobody at the port takes files and memory from what is being measured.
//
// It knows nothing of the pages, of TLS or of users.
package door

import (
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	// MaxConnections is how many connections are held at one time. Scrapers keep one each,
	// a browser up to six; further ones are closed at once.
	MaxConnections = 64
	// maxHeader bounds what a request says beside its body, in bytes. net/http allows 4096
	// more.
	maxHeader = 16 << 10
	// headerTimeout bounds the reading of a header and a TLS handshake; readTimeout that of
	// a whole request: no page reads a body.
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	// writeTimeout is above the minute that a scrape of `watch` may take.
	writeTimeout = 75 * time.Second
	// idleTimeout is above the usual scrape intervals of 15 s and a minute.
	idleTimeout = 75 * time.Second
)

// Open makes a server of pages, and of a listener the one that it must serve: with no more
// than [MaxConnections]. What net/http has to say goes to errors.
func Open(l net.Listener, pages http.Handler, errors *log.Logger) (*http.Server, net.Listener) {
	return &http.Server{Handler: pages, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout,
		WriteTimeout: writeTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: errors}, &limited{Listener: l, room: make(chan struct{}, MaxConnections)}
}

// limited is a listener that closes connections that there is no room for.
type limited struct {
	net.Listener
	room chan struct{}
}

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.room <- struct{}{}:
			return &held{Conn: c, leave: sync.OnceFunc(func() { <-l.room })}, nil
		default:
			_ = c.Close() // who waits in a queue holds a file, too
		}
	}
}

// held is a connection that gives its room back.
type held struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *held) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// Errors is a logger for [Open] that tells what a person can do something about: that no
// connection can be accepted, and that a page is broken; each once. The rest is the
// clients' affair.
func Errors(tell func(line string)) *log.Logger {
	return log.New(&selected{tell: tell, told: map[string]bool{}}, "", 0)
}

type selected struct {
	tell func(string)
	mu   sync.Mutex
	told map[string]bool
}

// Write implements io.Writer for a log.Logger: a message at a time.
func (s *selected) Write(message []byte) (int, error) {
	line, _, _ := strings.Cut(string(message), "\n")
	for _, kind := range []string{"http: Accept error", "http: panic serving"} {
		if strings.HasPrefix(line, kind) && s.first(kind) {
			s.tell(line)
		}
	}
	return len(message), nil
}

func (s *selected) first(kind string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.told[kind] = true }()
	return !s.told[kind]
}
