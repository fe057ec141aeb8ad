package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/claviger/kms"
	"github.com/claviger/kms/audit"
	"github.com/claviger/kms/kmshttp"
)

// drainTime is how long requests that run may take when the server ends.
const drainTime = 10 * time.Second

// serveFlags say what is served, to whom and where.
type serveFlags struct {
	listen, account, audit string
	regions                []string
	dev                    bool
	devCredentials         devCredentials
}

func newServe() *cobra.Command {
	f := &serveFlags{devCredentials: devCredentials{}}
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve rings over the wire protocol of AWS KMS",
		Args:  noArguments,
		RunE:  func(c *cobra.Command, _ []string) error { return f.serve(c) },
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.listen, "listen", "127.0.0.1:8443", "the `ADDRESS:PORT` to listen on; port 0 is one that is free")
	flags.StringVar(&f.account, "account", kms.DefaultAccountID, "the `ACCOUNT` whose keys these are, twelve digits")
	flags.StringSliceVar(&f.regions, "region", nil, "a `REGION` that has a ring, repeatable")
	flags.StringVar(&f.audit, "audit", "", "append the events of what is done, as lines of JSON, to this `FILE`")
	flags.BoolVar(&f.dev, "dev", false, "serve tests: rings in memory in every standard Region, on a loopback address, for the access key test with the secret test")
	flags.Var(f.devCredentials, "dev-credential", "with --dev, an access key more, repeatable: `ID:SECRET[:ARN]`; without ARN it is the account's root user")
	return c
}

func (f *serveFlags) serve(c *cobra.Command) (err error) {
	if !f.dev {
		return errors.New("only --dev is there so far")
	}
	ctx := c.Context()
	log := slog.New(slog.NewTextHandler(c.ErrOrStderr(), nil))
	if err := loopbackOnly(f.listen); err != nil {
		return err
	}
	credentials, err := f.devCredentials.open()
	if err != nil {
		return err
	}
	cfg := kms.Config{AccountID: f.account}
	if f.audit != "" {
		var trail trailFile
		if err := trail.open(f.audit); err != nil {
			return fmt.Errorf("--audit: %w", err)
		}
		defer func() { err = errors.Join(err, trail.Close()) }()
		cfg.Audit = audit.JSON(&trail)
	}
	regions := f.regions
	if len(regions) == 0 {
		regions = standardRegions
	}
	var rings []*kms.Keyring
	defer func() {
		for _, ring := range slices.Backward(rings) {
			err = errors.Join(err, ring.Close())
		}
	}()
	for _, cfg.Region = range regions {
		ring, err := kms.Open(ctx, cfg)
		if err != nil {
			return err
		}
		rings = append(rings, ring)
	}
	handler, err := kmshttp.New(kmshttp.Config{Rings: rings, Authenticator: kmshttp.SigV4(credentials), Log: log})
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", f.listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	server := kmshttp.NewServer(healthy(handler))
	server.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelDebug)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	if _, err := fmt.Fprintf(c.OutOrStdout(), "listening on http://%s\n", listener.Addr()); err != nil {
		return errors.Join(err, server.Close())
	}
	log.Warn("for tests only: keeps nothing, and takes the access key test with the secret test")
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		return errors.Join(err, server.Close())
	}
	return nil
}

// healthy answers GET /healthz in front of a handler.
func healthy(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
			_, _ = fmt.Fprintln(w, "ok")
			return
		}
		next.ServeHTTP(w, r)
	})
}
