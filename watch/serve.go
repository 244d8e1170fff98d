// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/exporter-toolkit/web"

	"github.com/ukprobe/ukprobe/internal/door"
	"github.com/ukprobe/ukprobe/internal/statuspage"
)

// Server answers scrapers.
type Server struct {
	Listener net.Listener
	// Name is the host's that the listener was asked for, which requests may name beside
	// localhost where it is on loopback.
	Name string
	// WebConfig is the exporter toolkit's configuration file: TLS, basic
	// authentication; "" for neither. It is read anew for every connection.
	WebConfig string
	Version   string
	Log       *slog.Logger
}

// maxScrapes is how many scrapes are answered at one time; further ones get 503.
// Each holds what it is about to send.
const maxScrapes = 4

// Serve answers until the context ends.
func (s Server) Serve(ctx context.Context, w *Watcher) error {
	handler, err := s.handler(w)
	if err != nil {
		return err
	}
	server, listener := door.Open(s.Listener, door.Named(s.Listener.Addr(), []string{s.Name}, handler),
		log.New(&webConfigWatch{path: s.WebConfig, log: s.Log, now: time.Now}, "", 0))
	stop := context.AfterFunc(ctx, func() {
		// A scrape that is under way may end.
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if server.Shutdown(limit) != nil {
			_ = server.Close()
		}
	})
	defer stop()
	// The toolkit tells of every address and setting; ours is told once.
	quiet := slog.New(levelFilter{s.Log.Handler(), slog.LevelWarn})
	err = web.Serve(listener, server, &web.FlagConfig{WebConfigFile: &s.WebConfig}, quiet)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve metrics on %s: %w", s.Listener.Addr(), err)
}

// levelFilter lets through what is at least of a level.
type levelFilter struct {
	slog.Handler
	least slog.Level
}

// Enabled implements slog.Handler.
func (f levelFilter) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= f.least && f.Handler.Enabled(ctx, l)
}

// handler has the pages.
func (s Server) handler(w *Watcher) (http.Handler, error) {
	registry := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{NewCollector(w, s.Version), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true,
		// One VM that cannot be read must not hide the others.
		ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: maxScrapes, Timeout: time.Minute,
		ErrorLog: slog.NewLogLogger(s.Log.Handler(), slog.LevelWarn)}))
	mux.HandleFunc("GET /healthz", func(rw http.ResponseWriter, _ *http.Request) {
		if !w.Healthy() {
			http.Error(rw, "the watcher does not answer", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(rw, "ok")
	})
	statuspage.Register(mux, maxScrapes, func() statuspage.Page { return status(w, s.Version).page() }, func() any { return status(w, s.Version) })
	return mux, nil
}

// Loopback reports whether only this machine can reach the address.
func Loopback(a net.Addr) bool {
	t, ok := a.(*net.TCPAddr)
	return ok && t.IP.IsLoopback()
}
