// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/user"
	"runtime/debug"
	"sync"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/ukprobe/ukprobe/probe"
	"github.com/ukprobe/ukprobe/watch"
)

// defaultListen is where `ukprobe watch` serves metrics.
const defaultListen = "127.0.0.1:9435"

func watchCommand() *cli.Command {
	return &cli.Command{
		Name:  "watch",
		Usage: "watch the VMs of this host that ukprobe did not start",
		Description: "Finds VMs as they come and go, and serves what they do as Prometheus metrics until\n" +
			"Ctrl-C or SIGTERM. With --once it prints a table instead and ends, with --top it\n" +
			"shows one that refreshes. The VMs are not touched. docs/watch.md explains the\n" +
			"figures, and how to run it as a service.\n\n" +
			"Examples:\n" +
			"  ukprobe watch --all                               # metrics on " + defaultListen + "\n" +
			"  ukprobe watch --name '^web' --top                 # like top\n" +
			"  ukprobe watch --pid 4711 --once --duration 10s    # a table of ten seconds\n" +
			"  ukprobe watch --cgroup machine.slice --listen :9435 --web-config web.yml",
		Flags:  watchFlags(),
		Action: watchVMs,
	}
}

func watchFlags() []cli.Flag {
	env := func(name string) []string { return []string{"UKPROBE_WATCH_" + name} }
	return []cli.Flag{
		&cli.BoolFlag{Name: "all", Usage: "every VM of the host", EnvVars: env("ALL")},
		&cli.IntSliceFlag{Name: "pid", Usage: "the VM of process `PID`, now or later; repeatable"},
		&cli.StringSliceFlag{Name: "cgroup", Usage: "VMs in the cgroup `PATH` or below, e.g. machine.slice; repeatable", EnvVars: env("CGROUP")},
		&cli.StringSliceFlag{Name: "name", Usage: "VMs whose name has a match of `REGEX`; repeatable, any filter suffices", EnvVars: env("NAME")},
		&cli.StringFlag{Name: "listen", Value: defaultListen, Usage: "serve metrics on `ADDR`; empty: do not, as with --once and --top", EnvVars: env("LISTEN")},
		&cli.StringFlag{Name: "web-config", Usage: "`FILE` with TLS and users, of Prometheus' exporter toolkit", EnvVars: env("WEB_CONFIG")},
		&cli.DurationFlag{Name: "keep", Value: time.Minute, Usage: "serve a VM's last figures for `D` after its end: at least a scrape interval", EnvVars: env("KEEP")},
		&cli.IntFlag{Name: "max-vms", Usage: "watch at most `N` VMs at one time; further ones are counted", DefaultText: "what fits --memory", EnvVars: env("MAX_VMS")},
		&cli.StringFlag{Name: "memory", Usage: "`SIZE` that ukprobe may take, kernel memory included, e.g. 512M", DefaultText: "a tenth of the host's, 256M to 1G", EnvVars: env("MEMORY")},
		&cli.IntFlag{Name: "schema", Value: probe.DefaultSchema, Usage: "resolution of the histograms: `N` from 0 (buckets twice as wide each) to 5 (2 % wide)", EnvVars: env("SCHEMA")},
		&cli.BoolFlag{Name: "network", Usage: "also attach to the VMs' taps: frames, and how long answers take; keeps some capabilities (Linux 6.6)", EnvVars: env("NETWORK")},
		&cli.StringFlag{Name: "user", Usage: "become user `NAME` once everything is attached", EnvVars: env("USER")},
		&cli.BoolFlag{Name: "keep-privileges", Usage: "stay root with all capabilities", EnvVars: env("KEEP_PRIVILEGES")},
		&cli.BoolFlag{Name: "once", Usage: "print a table of --duration and end"},
		&cli.DurationFlag{Name: "duration", Value: 10 * time.Second, Usage: "of --once: `D`"},
		&cli.BoolFlag{Name: "json", Usage: "with --once: print JSON"},
		&cli.BoolFlag{Name: "top", Usage: "show a table that refreshes; q ends"},
		&cli.DurationFlag{Name: "interval", Value: 2 * time.Second, Usage: "of --top: `D`"},
		&cli.StringFlag{Name: "sort", Value: string(watch.SortExits), Usage: "order of the VMs: exits, vmm, time or name", EnvVars: env("SORT")},
		&cli.StringFlag{Name: "attach", Value: string(probe.Auto), Usage: "rung of the hooks: auto|kprobe|fentry|tp_btf|raw_tp|tracepoint", EnvVars: env("ATTACH")},
		&cli.BoolFlag{Name: "verbose", Usage: "tell of every VM that comes and goes, and in tables why something is not counted", EnvVars: env("VERBOSE")},
	}
}

// watchSettings are the flags, checked. Nothing has been touched yet.
type watchSettings struct {
	options  watch.Options
	probe    probe.Options
	budget   watch.Budget
	listen   string
	config   string
	as       *user.User
	drop     bool
	network  bool
	sort     watch.Sort
	once     bool
	top      bool
	json     bool
	duration time.Duration
	interval time.Duration
	verbose  bool
}

func watchOptions(c *cli.Context) (s watchSettings, err error) {
	if err := noArguments(c); err != nil {
		return s, err
	}
	s = watchSettings{listen: c.String("listen"), config: c.String("web-config"), drop: !c.Bool("keep-privileges"), network: c.Bool("network"), once: c.Bool("once"),
		top: c.Bool("top"), json: c.Bool("json"), duration: c.Duration("duration"), interval: c.Duration("interval"), verbose: c.Bool("verbose")}
	if (s.once || s.top) && !c.IsSet("listen") {
		s.listen = ""
	}
	if err := s.check(c); err != nil {
		return s, usage(err)
	}
	if s.options.Filter, err = watch.NewFilter(watch.Words{All: c.Bool("all"), PIDs: c.IntSlice("pid"),
		Cgroups: c.StringSlice("cgroup"), Names: c.StringSlice("name")}); err != nil {
		return s, usage(err)
	}
	if s.probe.Attach, err = probe.ParseRung(c.String("attach")); err != nil {
		return s, usage(err)
	}
	if s.sort, err = watch.ParseSort(c.String("sort")); err != nil {
		return s, usage(err)
	}
	if name := c.String("user"); name != "" {
		if s.as, err = user.Lookup(name); err != nil {
			return s, usage(fmt.Errorf("--user %s: %w", name, err))
		}
	}
	if err := s.share(c); err != nil {
		return s, usage(err)
	}
	s.options.Keep, s.options.MaxKept, s.options.MaxVMs = c.Duration("keep"), s.budget.VMs, s.budget.VMs
	s.options.KeepLabels, s.options.Network = s.once || s.top, s.network
	if s.once {
		s.options.Keep = s.duration + time.Hour // the table is of all that were there
	}
	return s, nil
}

// check looks at flags that exclude each other or make no sense.
func (s watchSettings) check(c *cli.Context) error {
	switch {
	case s.once && s.top:
		return errors.New("--once and --top exclude each other")
	case s.json && !s.once:
		return errors.New("--json: needs --once")
	case c.IsSet("duration") && !s.once:
		return errors.New("--duration: needs --once")
	case c.IsSet("interval") && !s.top:
		return errors.New("--interval: needs --top")
	case s.duration < 10*time.Millisecond || s.duration > 24*time.Hour:
		return fmt.Errorf("--duration %v: must be 10ms to 24h", s.duration)
	case s.interval < 100*time.Millisecond || s.interval > time.Hour:
		return fmt.Errorf("--interval %v: must be 100ms to 1h", s.interval)
	case c.Duration("keep") < 0 || c.Duration("keep") > 24*time.Hour:
		return fmt.Errorf("--keep %v: must be 0 to 24h", c.Duration("keep"))
	case s.config != "" && s.listen == "":
		return errors.New("--web-config: needs --listen ADDR")
	case c.String("user") != "" && !s.drop:
		return errors.New("--user and --keep-privileges exclude each other")
	}
	return watch.CheckWebConfig(s.config)
}

// share works out how many VMs there can be.
func (s *watchSettings) share(c *cli.Context) (err error) {
	schema := c.Int("schema")
	if schema < probe.MinSchema || schema > probe.MaxSchema {
		return fmt.Errorf("--schema %d: must be %d to %d", schema, probe.MinSchema, probe.MaxSchema)
	}
	each, err := probe.SlotBytes(schema, s.network)
	if err != nil {
		return err
	}
	memory := watch.DefaultMemory(uint64(each))
	if text := c.String("memory"); text != "" {
		if memory, err = watch.ParseBytes(text); err != nil {
			return fmt.Errorf("--memory: %w", err)
		}
	}
	if c.IsSet("max-vms") && c.Int("max-vms") < 1 {
		return fmt.Errorf("--max-vms %d: must be at least 1", c.Int("max-vms"))
	}
	if s.budget, err = watch.NewBudget(memory, uint64(each), c.Int("max-vms")); err != nil {
		return err
	}
	s.probe.Slots, s.probe.Schema, s.probe.Discover = s.budget.VMs, &schema, true
	return nil
}

// watchVMs is the action of `ukprobe watch`.
func watchVMs(c *cli.Context) (err error) {
	s, err := watchOptions(c)
	if err != nil {
		return err
	}
	srv, err := listen(s.listen)
	if err != nil {
		return err
	}
	defer srv.Close()
	log, flush := watchLog(s)
	defer flush()
	s.options.Log = log
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(s.budget.GoLimit)
	}
	if s.budget.Warning != "" {
		log.Warn(s.budget.Warning, "max_vms", s.budget.VMs, "memory", watch.Bytes(s.budget.Memory))
	}
	p, err := probe.Open(s.probe)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	release, err := p.Hold(s.network)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	source := watch.FromProbe(p)
	defer source.Close()
	notify := watch.NewNotifier(log)
	var w *watch.Watcher
	s.options.Beat = func() { notify.Beat(w.Totals().Status()) }
	w = watch.New(source, s.options)
	w.Begin()
	if err := s.giveUp(log); err != nil {
		return err
	}
	return s.attend(c, w, srv, notify)
}

// giveUp drops the privileges that are not needed any more.
func (s watchSettings) giveUp(log *slog.Logger) error {
	if !s.drop {
		log.Info("privileges are kept")
		return nil
	}
	before, after, err := watch.Drop(s.as, watch.Needs{Network: s.network}.Capabilities())
	if err != nil {
		return fmt.Errorf("%w: or keep them with --keep-privileges", err)
	}
	log.Info("privileges given up", "uid_before", before.UID, "uid", after.UID, "capabilities_before", before.Caps, "capabilities", after.Caps)
	return watch.CheckWebConfigAs(s.config, after)
}

// attend serves and shows until the end.
func (s watchSettings) attend(c *cli.Context, w *watch.Watcher, srv *server, notify *watch.Notifier) error {
	ctx, cancel := context.WithCancel(c.Context)
	defer cancel()
	// What is shown last is read before the VMs are given back.
	runCtx, stopRun := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRun()
	var runErr, serveErr error
	var parts sync.WaitGroup
	parts.Go(func() { defer cancel(); runErr = w.Run(runCtx) })
	if srv.listener != nil {
		server := s.server(srv)
		parts.Go(func() { defer cancel(); serveErr = server.Serve(ctx, w) })
	}
	s.options.Log.Info("ready", "watching", s.options.Filter, "max_vms", s.budget.VMs,
		"memory", watch.Bytes(s.budget.Memory), "kernel_memory_per_vm", watch.Bytes(s.budget.PerVM))
	notify.Ready(w.Totals().Status())
	showErr := s.show(ctx, c.App.Writer, watch.NewReporter(w, Version()))
	notify.Stopping()
	cancel()
	stopRun()
	parts.Wait()
	if errors.Is(runErr, watch.ErrAllEnded) {
		s.options.Log.Info(runErr.Error())
		runErr = nil
	}
	return errors.Join(showErr, serveErr, runErr)
}

// server prepares to serve, and warns of who else can see it.
func (s watchSettings) server(srv *server) watch.Server {
	address, log := srv.listener.Addr(), s.options.Log
	if s.config == "" && !watch.Loopback(address) {
		log.Warn("whoever can reach this address can read the metrics: give --web-config for TLS and users, or listen on 127.0.0.1", "address", address)
	}
	log.Info("serving metrics", "address", address, "path", "/metrics")
	return watch.Server{Listener: srv.listener, Name: srv.name, WebConfig: s.config, Version: Version(), Log: log}
}

// show shows until the context ends: a table at the end, one that refreshes, or
// nothing.
func (s watchSettings) show(ctx context.Context, out io.Writer, r *watch.Reporter) error {
	switch {
	case s.once:
		select {
		case <-ctx.Done():
		case <-time.After(s.duration):
		}
		if s.json {
			return printJSON(out, r.Next())
		}
		return r.Next().Write(out, s.style())
	case s.top:
		return watch.Screen{Out: os.Stdout, In: os.Stdin, Interval: s.interval, Style: s.style, Next: r.Next}.Show(ctx)
	}
	<-ctx.Done()
	return nil
}

// style is what standard output can show, now.
func (s watchSettings) style() watch.Style {
	o := reportOptions()
	style := watch.Style{Width: o.Width, Color: o.Color, ASCII: o.ASCII, Sort: s.sort, Details: s.verbose, How: "--verbose says why"}
	if s.top && term.IsTerminal(int(os.Stdout.Fd())) {
		style.How = "press h, or --verbose, for why"
	}
	if _, rows, err := term.GetSize(int(os.Stdout.Fd())); err == nil && s.top {
		style.Rows = rows
	}
	return style
}

// watchLog is where the daemon tells what it does: standard error, without the
// time if the journal adds it. While a terminal shows --top, it is held back until
// the end.
func watchLog(s watchSettings) (log *slog.Logger, flush func()) {
	options := &slog.HandlerOptions{Level: slog.LevelInfo}
	switch {
	case s.verbose:
		options.Level = slog.LevelDebug
	case s.once || s.top:
		options.Level = slog.LevelWarn
	}
	if os.Getenv("JOURNAL_STREAM") != "" {
		options.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey && len(groups) == 0 {
				return slog.Attr{}
			}
			return a
		}
	}
	if !s.top || !term.IsTerminal(int(os.Stdout.Fd())) {
		return slog.New(slog.NewTextHandler(os.Stderr, options)), func() {}
	}
	held := &heldBack{}
	return slog.New(slog.NewTextHandler(held, options)), func() { _, _ = os.Stderr.Write(held.text) }
}

// heldBack keeps the beginning of what is written to it.
type heldBack struct {
	mu   sync.Mutex
	text []byte
}

// maxHeldBack is enough to see what is wrong.
const maxHeldBack = 16 << 10

// Write implements io.Writer.
func (h *heldBack) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.text)+len(p) <= maxHeldBack {
		h.text = append(h.text, p...)
	}
	return len(p), nil
}
