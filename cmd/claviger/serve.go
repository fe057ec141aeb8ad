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
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/claviger/kms"
	"github.com/claviger/kms/audit"
	"github.com/claviger/kms/identities"
	"github.com/claviger/kms/kmshttp"
)

// serveFlags say what is served, to whom and where.
type serveFlags struct {
	listen          string
	tlsCert, tlsKey string
	clientCA        string
	proxies         prefixes
	store, anchor   string
	roots           rootFlags
	ringIDs         []string
	create          bool
	account         string
	regions         []string
	credentials     string
	identities      string
	audit           string
	logLevel        slog.Level
	logFormat       string
	dev             bool
	devCredentials  devCredentials
}

// inMemory is the store that goes with the process.
const inMemory = "memory"

// regionMark stands for the Region in the path of a store or an anchor.
const regionMark = "{region}"

func newServe() *cobra.Command {
	f := &serveFlags{devCredentials: devCredentials{}}
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve rings over the wire protocol of AWS KMS",
		Long: "Serves rings to the clients made for AWS, until it is interrupted: it then takes no more requests, and ends those that run. The first line that it prints ends with the URL.\n" +
			"A request is that of the access key which signed it, and for the ring of the Region which the signature names. GET /healthz answers 200 if every store answers.\n" +
			"Files are read again when they change, and on SIGHUP, which also goes on with a new file for --audit if the old one was moved away.\n" +
			"With --dev it is for tests: rings in memory, in every standard Region, for the access key test with the secret test.",
		Args: noArguments,
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.listen, "listen", "127.0.0.1:8443", "the `ADDRESS:PORT` to listen on; port 0 is one that is free. Others than this machine can reach it with TLS only")
	flags.StringVar(&f.tlsCert, "tls-cert", "", "the server's certificate, with those that lead to its authority: a `FILE` in PEM")
	flags.StringVar(&f.tlsKey, "tls-key", "", "its key: a `FILE` in PEM that is closed to others")
	flags.Var(&f.proxies, "behind-proxy", "the address of a proxy that does TLS, repeatable: `CIDR`. It is believed what it says of its clients. Without TLS of its own the server hears nobody else")
	flags.StringVar(&f.store, "store", "", "the rings' key stores: `bolt:FILE`, in which {region} stands for the Region, or memory, which is gone with the server")
	f.roots.register(flags, "", "the rings'")
	flags.StringVar(&f.anchor, "anchor", "", "the rings' anchors: a `FILE` that package anchor has made, in which {region} stands for the Region")
	flags.StringSliceVar(&f.ringIDs, "ring-id", nil, "refuse any ring but the one of this id, repeatable: `[REGION=]ID`")
	flags.BoolVar(&f.create, "create", false, "make the rings that are not there yet, of --account and --region. It is refused if all are there: whoever starts the server for good leaves it out")
	flags.StringVar(&f.account, "account", "", "refuse rings of any `ACCOUNT` but this")
	flags.StringSliceVar(&f.regions, "region", nil, "a `REGION` that has a ring, repeatable; without, there is one ring, whatever its Region")
	flags.StringVar(&f.credentials, "credentials", "", "the access keys: a `FILE` in JSON that is closed to others, see package kmshttp, OpenCredentials")
	flags.StringVar(&f.clientCA, "client-ca", "", "in place of access keys, the authorities of client certificates: a `FILE` in PEM. A client is the one ARN among the URIs of its certificate")
	flags.StringVar(&f.identities, "identities", "", "the users and roles: a `DIR` or file as package identities reads it. Without, every name is taken, and has no policies")
	flags.StringVar(&f.audit, "audit", "", "append the events of what is done, as lines of JSON, to this `FILE`, or to the standard output as -. What cannot be recorded does not happen")
	flags.TextVar(&f.logLevel, "log-level", slog.LevelInfo, "log from this `LEVEL` on: debug, info, warn or error. Requests that are refused are of level info, those that are not of level debug")
	flags.StringVar(&f.logFormat, "log-format", "text", "log as `text` or json, on the standard error")
	flags.BoolVar(&f.dev, "dev", false, "serve tests, on a loopback address. The ring of a --region has the --account, or 000000000000")
	flags.Var(f.devCredentials, "dev-credential", "with --dev, an access key more, repeatable: `ID:SECRET[:ARN]`. Without ARN it is the account's root user")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := f.check(flags); err != nil {
			return err
		}
		log, err := f.log(c.ErrOrStderr())
		if err != nil {
			return err
		}
		s := &service{log: log}
		if err := f.open(c, s); err != nil {
			return errors.Join(err, s.close())
		}
		return errors.Join(s.serve(c.Context()), s.close())
	}
	return c
}

// withDev are the flags that go with --dev.
var withDev = []string{"dev", "dev-credential", "listen", "account", "region", "identities", "audit", "log-level", "log-format"}

// check refuses flags that do not go together, and those that would let in whoever should not.
func (f *serveFlags) check(flags *pflag.FlagSet) error {
	given := flags.Changed
	var forServers []string
	flags.Visit(func(flag *pflag.Flag) {
		if !slices.Contains(withDev, flag.Name) {
			forServers = append(forServers, "--"+flag.Name)
		}
	})
	host, _, err := net.SplitHostPort(f.listen)
	switch {
	case err != nil:
		return errors.New("--listen: want ADDRESS:PORT")
	case given("region") && len(f.regions) == 0 || slices.Contains(f.regions, ""):
		return errors.New("--region: want a Region")
	case len(slices.Compact(slices.Sorted(slices.Values(f.regions)))) < len(f.regions):
		return errors.New("--region: a Region has one ring")
	case f.dev && len(forServers) > 0:
		return fmt.Errorf("--dev is for tests, and takes no %s", strings.Join(forServers, ", "))
	case f.dev && !isLoopback(host):
		return errors.New("--listen: --dev listens on a loopback address only, such as 127.0.0.1:8443: anybody may use the access key test")
	case f.dev:
		return nil
	case given("dev-credential"):
		return errors.New("--dev-credential: only with --dev; access keys are in the file of --credentials")
	case given("tls-cert") != given("tls-key"):
		return errors.New("--tls-cert and --tls-key: want both")
	case !isLoopback(host) && !given("tls-cert") && !given("behind-proxy"):
		return errors.New("--listen: others can reach this address, and what they send is not encrypted: want --tls-cert and --tls-key, or --behind-proxy if a proxy does TLS")
	case given("credentials") == given("client-ca"):
		return errors.New("want one of --credentials and --client-ca: who may call")
	case given("client-ca") && !given("tls-cert"):
		return errors.New("--client-ca: want --tls-cert and --tls-key, since a client shows its certificate to whom it connects")
	}
	return f.checkRings(given)
}

// checkRings refuses what does not say which rings there are.
func (f *serveFlags) checkRings(given func(flag string) bool) error {
	for _, flag := range []struct{ name, value string }{{"store", f.store}, {"anchor", f.anchor}} {
		marked := strings.Contains(flag.value, regionMark)
		switch {
		case flag.value == "" || flag.value == inMemory:
		case marked && len(f.regions) == 0:
			return fmt.Errorf("--%s: %s stands for a --region, and there is none", flag.name, regionMark)
		case !marked && len(f.regions) > 1:
			return fmt.Errorf("--%s: with several Regions each ring has its own: put %s where the Region belongs", flag.name, regionMark)
		}
	}
	if f.store == inMemory {
		if len(f.roots.primary)+len(f.roots.recovery) > 0 || given("anchor") || given("ring-id") || given("create") {
			return errors.New("--store: a ring in memory is new each time, and opens with no root key: no root key, --anchor, --ring-id or --create goes with it")
		}
		return nil
	}
	if f.create && (!given("region") || !given("account")) {
		return errors.New("--create: want --account and --region too, since a ring keeps those that it is made with")
	}
	_, err := f.pins()
	return err
}

// pins returns the ids that rings must have, by Region; "" is the only one.
func (f *serveFlags) pins() (map[string]string, error) {
	pins := map[string]string{}
	for _, pin := range f.ringIDs {
		region, id, named := strings.Cut(pin, "=")
		switch {
		case !named && len(f.regions) > 1:
			return nil, errors.New("--ring-id: with several Regions want REGION=ID")
		case !named:
			region, id = strings.Join(f.regions, ""), pin
		case !slices.Contains(f.regions, region):
			return nil, errors.New("--ring-id: of a Region that is none of --region")
		}
		if _, twice := pins[region]; twice {
			return nil, errors.New("--ring-id: a ring has one id")
		}
		pins[region] = id
	}
	return pins, nil
}

// isLoopback reports whether only this machine can reach a host.
func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

// log returns the logger that the flags ask for.
func (f *serveFlags) log(w io.Writer) (*slog.Logger, error) {
	options := &slog.HandlerOptions{Level: f.logLevel}
	switch f.logFormat {
	case "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	return nil, errors.New("--log-format: want text or json")
}

// open opens all that the service is made of. What was opened is closed with it, also after an error.
func (f *serveFlags) open(c *cobra.Command, s *service) (err error) {
	if s.authenticator, err = f.authenticator(s); err != nil {
		return err
	}
	cfg := kms.Config{AccountID: f.account}
	if f.identities != "" {
		people, err := identities.Open(f.identities)
		if err != nil {
			return fmt.Errorf("--identities: %w", err)
		}
		s.watch("identities", people)
		cfg.Identities = people
	}
	var trail trailFile
	switch f.audit {
	case "":
	case standardOutput:
		cfg.Audit = audit.Required(audit.JSON(c.OutOrStdout()), auditTime)
	default:
		cfg.Audit = audit.Required(audit.JSON(&trail), auditTime)
	}
	if err := s.listen(c.Context(), f); err != nil { // before a ring is made, for which there may be no second time
		return err
	}
	if err := f.openRings(c, s, cfg); err != nil {
		return err
	}
	if f.audit != "" && f.audit != standardOutput {
		if err := trail.open(f.audit); err != nil {
			return fmt.Errorf("--audit: %w", err)
		}
		s.trail = &trail
	}
	s.out = c.OutOrStdout()
	switch {
	case f.dev:
		s.log.Warn("for tests only: nothing is kept, and anybody on this machine may use the access keys")
		return nil
	case f.audit == "":
		s.log.Warn("nothing is recorded: there is no --audit")
	}
	for _, ring := range s.rings {
		s.log.Info("serving", "region", ring.Region(), "account", ring.AccountID(), "ring", ring.ID())
	}
	return nil
}

// authenticator returns who tells whose a request is.
func (f *serveFlags) authenticator(s *service) (kmshttp.Authenticator, error) {
	if f.tlsCert != "" {
		var err error
		if s.certificates, err = openCertificates(f.tlsCert, f.tlsKey, f.clientCA); err != nil {
			return nil, err
		}
		s.watch("certificates", s.certificates)
	}
	switch {
	case f.dev:
		known, err := f.devCredentials.open()
		return addressedHere(kmshttp.SigV4(known)), err
	case f.clientCA != "":
		return s.certificates.authenticator(), nil
	default:
		known, err := kmshttp.OpenCredentials(f.credentials)
		if err != nil {
			return nil, fmt.Errorf("--credentials: %w", err)
		}
		s.watch("credentials", known)
		return kmshttp.SigV4(known), nil
	}
}

// errOtherHost refuses a request to --dev.
var errOtherHost error = &kms.Error{Code: kms.ErrAccessDenied, Message: "A server for tests answers requests to localhost and loopback addresses only."}

// addressedHere refuses requests that were sent to another name than this machine's own: a page of a browser can have its name stand for this machine, and then sign with
// the secret that everybody knows, and read what is answered.
func addressedHere(next kmshttp.Authenticator) kmshttp.Authenticator {
	return kmshttp.AuthenticatorFunc(func(r *http.Request, body []byte) (kmshttp.Identity, error) {
		if to := (&url.URL{Host: strings.ToLower(r.Host)}).Hostname(); !isLoopback(to) && !strings.HasSuffix(to, ".localhost") {
			return kmshttp.Identity{}, errOtherHost
		}
		return next.Authenticate(r, body)
	})
}

// openRings opens the rings, and makes them where that is wanted.
func (f *serveFlags) openRings(c *cobra.Command, s *service, cfg kms.Config) (err error) {
	regions := f.regions
	switch {
	case len(regions) == 0 && f.dev:
		regions = standardRegions
	case len(regions) == 0:
		regions = []string{""}
	}
	if !f.dev && f.store != inMemory {
		if cfg.Root, cfg.RecoveryRoots, err = f.roots.open(&secretInput{r: c.InOrStdin()}); err != nil {
			return err
		}
	}
	pins, err := f.pins()
	if err != nil {
		return err
	}
	open := func(region string, access access) error {
		cfg.Region, cfg.RingID, cfg.Partition = region, pins[region], ""
		if access == making || f.dev || f.store == inMemory {
			cfg.Partition = partitionOf(region)
		}
		ring, err := f.openRing(c.Context(), cfg, access)
		if err != nil && len(regions) > 1 {
			return fmt.Errorf("--region %s: %w", region, err)
		}
		if err == nil {
			s.rings = append(s.rings, ring)
		}
		return err
	}
	var missing []string
	for _, region := range regions {
		err := open(region, writing)
		_, isMissing := errors.AsType[missingStore](err)
		switch isNone := isMissing || errors.Is(err, kms.ErrNoRing); {
		case isNone && f.create:
			missing = append(missing, region)
		case isNone:
			return fmt.Errorf("%w\na ring is made with --create only", err)
		case err != nil:
			return err
		}
	}
	if f.create && len(missing) == 0 {
		return errors.New("--create: all rings are there: start the server without it, so that a store that is lost one day shows")
	}
	for _, region := range missing { // after the others have opened: a root key that is not theirs makes no ring
		if err := open(region, making); err != nil {
			return err
		}
		s.log.Warn("made a ring", "region", region) // of several, one that was there may have been lost
	}
	return nil
}

// openRing opens the ring of cfg.Region. One in memory is new, and goes with the process.
func (f *serveFlags) openRing(ctx context.Context, cfg kms.Config, access access) (*openRing, error) {
	if !f.dev && f.store != inMemory {
		return ringPlace{strings.ReplaceAll(f.store, regionMark, cfg.Region), strings.ReplaceAll(f.anchor, regionMark, cfg.Region)}.open(ctx, cfg, access)
	}
	ring, err := kms.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &openRing{Keyring: ring, opened: []io.Closer{ring}}, nil
}

// A prefixes is the value of a flag that names addresses.
type prefixes []netip.Prefix

// Set takes an address or a CIDR.
func (p *prefixes) Set(text string) error {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		*p = append(*p, netip.PrefixFrom(addr, addr.BitLen()))
		return nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return errors.New("want an address or a CIDR, such as 10.1.2.0/24")
	}
	*p = append(*p, prefix)
	return nil
}

func (p *prefixes) String() string { return "" }

func (p *prefixes) Type() string { return "CIDR" }

// contains reports whether one of the prefixes has the address.
func (p prefixes) contains(addr netip.Addr) bool {
	return slices.ContainsFunc(p, func(prefix netip.Prefix) bool { return prefix.Contains(addr) })
}
