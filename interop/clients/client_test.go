package clients

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go"
	smithymiddleware "github.com/aws/smithy-go/middleware"
)

// A client calls the operations of AWS KMS by their names, each by a library of its own. It is safe for concurrent use.
type client interface {
	name() string

	// call calls an operation for somebody, with members of its input, of which those of type []byte are blobs.
	call(who session, op string, in members) (members, error)

	// pages calls a list with the library's paginator. It is errUnpaged if the library has none.
	pages(who session, op string, in members, size int) ([]members, error)

	// knows tells whether the library has an operation, and members of its input.
	knows(op string, members ...string) bool

	// generic is the library's class of errors that it has no class for.
	generic() string
}

// A session is in whose name, and in which Region, a client works.
type session struct{ region, keyID, secret string }

// A refusal is an exception that the server has answered with.
type refusal struct {
	Code, Message string
	Class         string // of the error in the library
	Status        int
	ID            string // of the request
}

func (r *refusal) Error() string { return fmt.Sprintf("%s (%d): %s", r.Code, r.Status, r.Message) }

var errUnpaged = errors.New("the library has no paginator for it")

// Members are those of an input, or of an output: there, blobs are base64.
type members map[string]any

// plain is m as JSON has it.
func (m members) plain() (plain members) {
	text, err := json.Marshal(m)
	if err != nil || json.Unmarshal(text, &plain) != nil {
		return nil
	}
	return plain
}

// at is a structure, text a string, and blob the bytes of a blob. They are zero if the member is not there.
func (m members) at(name string) members {
	inner, _ := m[name].(map[string]any)
	return inner
}

func (m members) text(name string) string {
	s, _ := m[name].(string)
	return s
}

func (m members) blob(name string) []byte {
	b, err := base64.StdEncoding.DecodeString(m.text(name))
	if err != nil {
		return nil
	}
	return b
}

// list is a list of structures.
func (m members) list(name string) []members {
	var all []members
	values, _ := m[name].([]any)
	for _, v := range values {
		structure, _ := v.(map[string]any)
		all = append(all, structure)
	}
	return all
}

// time is a time, which the SDK for Go writes as text and the others in seconds.
func (m members) time(name string) time.Time {
	if seconds, ok := m[name].(float64); ok {
		return time.UnixMilli(int64(seconds * 1000))
	}
	at, err := time.Parse(time.RFC3339, m.text(name))
	if err != nil {
		return time.Time{}
	}
	return at
}

// sdk is the AWS SDK for Go, driven by reflection.
type sdk struct {
	mu      sync.Mutex
	clients map[session]*kms.Client
}

func newSDK() *sdk { return &sdk{clients: map[session]*kms.Client{}} }

func (*sdk) name() string { return "aws-sdk-go-v2" }

func (*sdk) generic() string { return reflect.TypeFor[smithy.GenericAPIError]().Name() }

func (s *sdk) client(who session) *kms.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.clients[who] == nil {
		s.clients[who] = who.client()
	}
	return s.clients[who]
}

// operations are all operations that the AWS SDK for Go has.
var operations = func() []string {
	var names []string
	for method := range reflect.TypeFor[*kms.Client]().Methods() {
		if method.Type.NumOut() == 2 {
			names = append(names, method.Name)
		}
	}
	return names
}()

func (s *sdk) knows(op string, names ...string) bool {
	method, ok := reflect.TypeFor[*kms.Client]().MethodByName(op)
	return ok && !slices.ContainsFunc(names, func(name string) bool {
		_, has := method.Type.In(2).Elem().FieldByName(name)
		return !has
	})
}

func (s *sdk) call(who session, op string, in members) (members, error) {
	method := reflect.ValueOf(s.client(who)).MethodByName(op)
	if !method.IsValid() {
		return nil, fmt.Errorf("there is no operation %s", op)
	}
	input := reflect.New(method.Type().In(1).Elem())
	if err := fill(input.Interface(), in); err != nil {
		return nil, err
	}
	results := method.Call([]reflect.Value{reflect.ValueOf(context.Background()), input})
	if err, _ := results[1].Interface().(error); err != nil {
		return nil, refusalOf(err)
	}
	metadata := results[0].Elem().FieldByName("ResultMetadata").Interface().(smithymiddleware.Metadata)
	id, _ := middleware.GetRequestIDMetadata(metadata)
	if err := wantID(id); err != nil {
		return nil, err
	}
	return plain(results[0].Interface())
}

// wantID requires that a request has an id, by which AWS's support and an operator's log name it.
func wantID(id string) error {
	if !requestID.MatchString(id) {
		return fmt.Errorf("the id of the request is %q", id)
	}
	return nil
}

var requestID = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// fill sets the fields of an input, all of which must be there.
func fill(input any, in members) error {
	text, err := json.Marshal(in)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(input)
}

// plain is an output as JSON has it, without members that are not there.
func plain(output any) (members, error) {
	text, err := json.Marshal(output)
	if err != nil {
		return nil, err
	}
	var m members
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, err
	}
	delete(m, "ResultMetadata")
	maps.DeleteFunc(m, func(_ string, v any) bool { return v == nil || v == "" })
	return m, nil
}

// refusalOf is what the server has answered, if err is an answer of the server.
func refusalOf(err error) error {
	fault, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return err
	}
	r := &refusal{Code: fault.ErrorCode(), Message: fault.ErrorMessage(), Class: reflect.TypeOf(fault).Elem().Name()}
	if response, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		r.Status, r.ID = response.HTTPStatusCode(), response.ServiceRequestID()
	}
	return r
}

// pages has the paginators that the SDK has.
func (s *sdk) pages(who session, op string, in members, size int) ([]members, error) {
	c, n := s.client(who), int32(size)
	switch op {
	case "ListAliases":
		var input kms.ListAliasesInput
		return collect(in, &input, kms.NewListAliasesPaginator(c, &input, func(o *kms.ListAliasesPaginatorOptions) { o.Limit = n }))
	case "ListGrants":
		var input kms.ListGrantsInput
		return collect(in, &input, kms.NewListGrantsPaginator(c, &input, func(o *kms.ListGrantsPaginatorOptions) { o.Limit = n }))
	case "ListKeyPolicies":
		var input kms.ListKeyPoliciesInput
		return collect(in, &input, kms.NewListKeyPoliciesPaginator(c, &input, func(o *kms.ListKeyPoliciesPaginatorOptions) { o.Limit = n }))
	case "ListKeyRotations":
		var input kms.ListKeyRotationsInput
		return collect(in, &input, kms.NewListKeyRotationsPaginator(c, &input, func(o *kms.ListKeyRotationsPaginatorOptions) { o.Limit = n }))
	case "ListKeys":
		var input kms.ListKeysInput
		return collect(in, &input, kms.NewListKeysPaginator(c, &input, func(o *kms.ListKeysPaginatorOptions) { o.Limit = n }))
	case "ListResourceTags":
		var input kms.ListResourceTagsInput
		return collect(in, &input, kms.NewListResourceTagsPaginator(c, &input, func(o *kms.ListResourceTagsPaginatorOptions) { o.Limit = n }))
	case "ListRetirableGrants":
		var input kms.ListRetirableGrantsInput
		return collect(in, &input, kms.NewListRetirableGrantsPaginator(c, &input, func(o *kms.ListRetirableGrantsPaginatorOptions) { o.Limit = n }))
	}
	return nil, errUnpaged
}

// A paginator is one of the SDK for Go, which reads its input with the first page.
type paginator[O any] interface {
	HasMorePages() bool
	NextPage(context.Context, ...func(*kms.Options)) (*O, error)
}

func collect[O any](in members, input any, p paginator[O]) ([]members, error) {
	if err := fill(input, in); err != nil {
		return nil, err
	}
	var all []members
	for p.HasMorePages() {
		page, err := p.NextPage(context.Background())
		if err != nil {
			return nil, refusalOf(err)
		}
		m, err := plain(page)
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

// A program is a library of another language, in a process that answers one question after the other.
type program struct {
	title      string
	known      map[string]bool
	whole      bool // it has no model to be asked what it knows of members, and is not older than the API
	unmodelled string

	mu      sync.Mutex
	in      io.Writer
	answers *bufio.Reader
}

type question struct {
	Do       string         `json:"do"`
	Endpoint string         `json:"endpoint"`
	Region   string         `json:"region"`
	ID       string         `json:"id"`
	Secret   string         `json:"secret"`
	Op       string         `json:"op,omitempty"`
	In       map[string]any `json:"in,omitempty"`
	Blobs    []string       `json:"blobs,omitempty"` // members of the input
	Size     int            `json:"size,omitempty"`  // of a page
}

type answer struct {
	Out     members
	ID      string
	Pages   []members
	Unpaged bool
	Refusal *refusal
	Trouble string
	Knows   []string
	Version string
}

// startProgram starts a program, which ends with t. It is called by its library and the version of that.
func startProgram(t testing.TB, library, unmodelled string, command ...string) *program {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	in, err := cmd.StdinPipe()
	check(t, err)
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	t.Cleanup(func() {
		_ = in.Close() // which ends it
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v: %s", library, err, complaint.Bytes())
		}
	})
	p := &program{unmodelled: unmodelled, in: in, answers: bufio.NewReader(out), known: map[string]bool{}}
	a := must(p.ask(root("us-east-1"), question{Do: "knows"}))(t)
	for _, name := range a.Knows {
		p.known[name] = true
	}
	p.title = library + "-" + a.Version
	return p
}

// newNode starts the SDK for JavaScript, whose packages are those of javascript/package-lock.json, which npm puts beside it. Its clock is ahead by so much.
func newNode(t testing.TB, ahead time.Duration) *program {
	t.Helper()
	node := find(t, "node")
	if _, err := os.Stat("javascript/node_modules"); err != nil {
		missing(t, "node", "its packages are not in javascript")
	}
	p := startProgram(t, "client-kms", "KMSServiceException", node, filepath.Join("javascript", "client.mjs"), strconv.FormatInt(ahead.Milliseconds(), 10))
	p.whole = true
	return p
}

// newPythons starts boto3 with every Python that has it.
func newPythons(t testing.TB) []*program {
	t.Helper()
	var all []*program
	for _, python := range installed("python3", "-c", "import boto3") {
		all = append(all, startProgram(t, "boto3", "ClientError", python, filepath.Join("python", "client.py")))
	}
	if len(all) == 0 {
		missing(t, "boto3", "no python3 has it")
	}
	return all
}

func (p *program) name() string { return p.title }

func (p *program) generic() string { return p.unmodelled }

func (p *program) knows(op string, names ...string) bool {
	return p.known[op] && (p.whole || !slices.ContainsFunc(names, func(name string) bool { return !p.known[op+"."+name] }))
}

func (p *program) ask(who session, q question) (answer, error) {
	q.Endpoint, q.Region, q.ID, q.Secret = endpoint, who.region, who.keyID, who.secret
	for name, v := range q.In {
		if _, isBlob := v.([]byte); isBlob {
			q.Blobs = append(q.Blobs, name)
		}
	}
	text, err := json.Marshal(q)
	if err != nil {
		return answer{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.in.Write(append(text, '\n')); err != nil {
		return answer{}, err
	}
	line, err := p.answers.ReadBytes('\n')
	if err != nil {
		return answer{}, err
	}
	var a answer
	if err := json.Unmarshal(line, &a); err != nil {
		return answer{}, err
	}
	switch {
	case a.Trouble != "":
		return answer{}, errors.New(a.Trouble)
	case a.Refusal != nil:
		return answer{}, a.Refusal
	case a.Unpaged:
		return answer{}, errUnpaged
	}
	return a, nil
}

func (p *program) call(who session, op string, in members) (members, error) {
	a, err := p.ask(who, question{Do: "call", Op: op, In: in})
	if err != nil {
		return nil, err
	}
	return a.Out, wantID(a.ID)
}

func (p *program) pages(who session, op string, in members, size int) ([]members, error) {
	a, err := p.ask(who, question{Do: "pages", Op: op, In: in, Size: size})
	return a.Pages, err
}
