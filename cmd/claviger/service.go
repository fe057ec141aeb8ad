package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/kmshttp"
)

const (
	drainTime      = 10 * time.Second // that requests may take when the service ends
	auditTime      = 10 * time.Second // that the recording of an event may take
	reloadInterval = 2 * time.Second
	maintainPeriod = 5 * time.Minute
	standardOutput = "-"
)

// A service is a server with all that it needs.
type service struct {
	log           *slog.Logger
	out           io.Writer
	authenticator kmshttp.Authenticator
	certificates  *certificates // nil without TLS
	proxies       prefixes
	listener      net.Listener
	rings         []*openRing
	trail         *trailFile // nil if there is no file
	files         []watched
}

// A watched is something that was read from files.
type watched struct {
	what string
	reloader
}

type reloader interface {
	Reload() error
	Watch(ctx context.Context, interval time.Duration, report func(error))
}

func (s *service) watch(what string, r reloader) { s.files = append(s.files, watched{what, r}) }

// listen begins to listen. Whoever connects waits until the service serves.
func (s *service) listen(ctx context.Context, f *serveFlags) (err error) {
	if s.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", f.listen); err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	s.proxies = f.proxies
	at, err := netip.ParseAddrPort(s.listener.Addr().String())
	public := err != nil || !at.Addr().IsLoopback()
	switch {
	case public && f.dev: // a name that stands for another address than it should
		return errors.New("--listen: this is not a loopback address here")
	case public && s.certificates == nil && len(f.proxies) == 0:
		return errors.New("--listen: others can reach this address")
	case public && s.certificates == nil:
		s.listener = &proxyListener{s.listener, f.proxies, s.log}
	}
	return nil
}

// A proxyListener refuses connections of others than proxies, which would speak in clear. This machine itself is not refused.
type proxyListener struct {
	net.Listener
	proxies prefixes
	log     *slog.Logger
}

func (l *proxyListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from, err := netip.ParseAddrPort(conn.RemoteAddr().String())
		if addr := from.Addr().Unmap(); err == nil && (l.proxies.contains(addr) || addr.IsLoopback()) {
			return conn, nil
		}
		l.log.Warn("connection refused: not from a proxy, and not encrypted", "source", from.Addr().String())
		_ = conn.Close() // nothing was said
	}
}

// serve serves until ctx is done, and then ends what runs.
func (s *service) serve(ctx context.Context) error {
	handler, err := s.handler()
	if err != nil {
		return err
	}
	server := kmshttp.NewServer(handler)
	server.ErrorLog = slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)
	scheme, serve := "http", func() error { return server.Serve(s.listener) }
	if s.certificates != nil {
		server.TLSConfig = s.certificates.config()
		scheme, serve = "https", func() error { return server.ServeTLS(s.listener, "", "") }
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	var background sync.WaitGroup
	defer background.Wait()
	running, stop := context.WithCancel(ctx)
	defer stop()
	for _, file := range s.files {
		background.Go(func() { file.Watch(running, reloadInterval, s.report(file.what)) })
	}
	background.Go(func() { s.reload(running, hangups) })
	background.Go(func() { s.maintain(running, maintainPeriod) })

	if _, err := fmt.Fprintf(s.out, "listening on %s://%s\n", scheme, s.listener.Addr()); err != nil { // and only then are there events on the standard output
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- serve() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	s.log.Info("ending")
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		s.log.Warn("requests were cut off", "after", drainTime)
		return server.Close()
	}
	return nil
}

// handler returns what answers requests.
func (s *service) handler() (http.Handler, error) {
	cfg := kmshttp.Config{Authenticator: s.authenticator, Proxies: s.proxies, Log: s.log}
	for _, ring := range s.rings {
		cfg.Rings = append(cfg.Rings, ring.Keyring)
	}
	next, err := kmshttp.New(cfg)
	if err != nil {
		return nil, err
	}
	return &health{rings: s.rings, log: s.log, turn: make(chan struct{}, 1), next: next}, nil
}

// report returns what logs that files were read again.
func (s *service) report(what string) func(error) {
	return func(err error) {
		if err != nil {
			s.log.Error("not reloaded: what was read before stays in force", "what", what, "error", err.Error())
			return
		}
		s.log.Info("reloaded", "what", what)
	}
}

// reload reads all files again whenever that is asked for.
func (s *service) reload(ctx context.Context, asked <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-asked:
		}
		for _, file := range s.files {
			s.report(file.what)(file.Reload())
		}
		if s.trail != nil {
			s.report("audit")(s.trail.reopen())
		}
	}
}

// maintain looks after the rings, for as long as ctx is not done.
func (s *service) maintain(ctx context.Context, every time.Duration) {
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		for _, ring := range s.rings {
			report, err := ring.Maintain(ctx)
			if ctx.Err() != nil {
				return
			}
			log := s.log.With("region", ring.Region())
			if report != (kms.MaintainReport{}) {
				log.Info("maintained", "rotated", report.Rotated, "marked", report.Marked, "destroyed", report.Destroyed, "resealed", report.Resealed, "postponed", report.Postponed)
			}
			if e, known := errors.AsType[*kms.Error](err); known && e.Err != nil {
				log = log.With("cause", e.Err.Error())
			}
			if err != nil {
				log.Error("maintenance failed", "error", err.Error())
			}
		}
	}
}

// close closes what is open: rings before their stores, and what they write to last.
func (s *service) close() error {
	var errs []error
	if s.listener != nil {
		if err := s.listener.Close(); !errors.Is(err, net.ErrClosed) { // the server has closed it
			errs = append(errs, err)
		}
	}
	for _, ring := range slices.Backward(s.rings) {
		errs = append(errs, ring.Close())
	}
	if s.trail != nil {
		errs = append(errs, s.trail.Close())
	}
	return errors.Join(errs...)
}
