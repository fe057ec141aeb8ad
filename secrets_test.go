package kms

import (
	"bytes"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/claviger/kms/audit"
)

// forms are the ways in which bytes may turn up in a text.
func forms(b []byte) []string {
	list := strings.Trim(fmt.Sprint(b), "[]")
	var literal []string
	for _, c := range b {
		literal = append(literal, fmt.Sprintf("%#x", c))
	}
	return []string{string(b), hex.EncodeToString(b), strings.ToUpper(hex.EncodeToString(b)), base64.StdEncoding.EncodeToString(b)[:len(b)], base64.RawURLEncoding.EncodeToString(b)[:len(b)],
		list, strings.ReplaceAll(list, " ", ","), strings.Join(literal, ", "), fmt.Sprintf("%q", b)}
}

// leaks returns the name of a secret that a text holds.
func leaks(text string, secrets map[string][]byte) string {
	for name, b := range secrets {
		if len(b) == 0 { // the zero result of a failure
			continue
		}
		for _, form := range forms(b) {
			if strings.Contains(text, form) {
				return name
			}
		}
	}
	return ""
}

// TestNoSecretTurnsUp runs every operation, allowed, denied and broken, and looks for plaintexts, key material and domain keys in whatever comes out.
func TestNoSecretTurnsUp(t *testing.T) {
	w := newWorld(t)
	var trail bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&trail, &slog.HandlerOptions{Level: slog.LevelDebug}))
	jsonLogger := slog.New(slog.NewJSONHandler(&trail, nil))
	w.ring.c.cfg.Audit = audit.Tee(w.sink, audit.JSON(&trail), audit.Slog(logger))

	secrets := map[string][]byte{"the plaintext": []byte(canary)}
	id, _ := parseKeyID(w.key.KeyID)
	s, _ := w.ring.c.keys.Get(id)
	secrets["key material"] = s.view.Load().key.materials.current.Load().secret.Clone()
	secrets["the index key"] = w.ring.c.ring.index.Clone()
	token := "canary-grant-token-44"
	secrets["a grant token"] = []byte(token)

	look := func(what string, values ...any) {
		t.Helper()
		for _, v := range values {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
				if name := leaks(fmt.Sprintf(verb, v), secrets); name != "" {
					t.Errorf("%s: %s of %T shows %s", what, verb, v, name)
				}
			}
			logger.Info("result", "value", v)
			jsonLogger.Info("result", "value", fmt.Sprint(v))
		}
	}
	run := func(what string, s *step, c *Client) {
		t.Helper()
		defer func() {
			if v := recover(); v != nil {
				look(what+": panic", v)
			}
		}()
		res, err := s.call(t.Context(), c, w, w.key.ARN)
		look(what+" "+s.method, res, &res, err)
		if dk, ok := res.(DataKey); ok {
			if name := leaks(fmt.Sprintf("%v %+v %#v", dk, dk, struct{ hidden DataKey }{dk}), map[string][]byte{"the data key": dk.Plaintext()}); name != "" {
				t.Errorf("%s: shows %s", what, name)
			}
		}
	}
	for i := range steps {
		run("stranger", &steps[i], w.ring.As(Role("stranger")))
		run("nobody", &steps[i], w.ring.As(Caller{}))
		run("with a token", &steps[i], w.ring.WithGrantTokens(token))
		run("dry run", &steps[i], w.ring.DryRun())
		run("root", &steps[i], w.ring.root)
		_, _ = w.ring.CancelKeyDeletion(t.Context(), w.key.ARN)
		_ = w.ring.EnableKey(t.Context(), w.key.ARN)
		w.nowPanics.Store(true)
		run("broken clock", &steps[i], w.ring.root)
		w.nowPanics.Store(false)
	}
	wrong := bytes.Clone(w.ciphertext)
	wrong[len(wrong)-1] ^= 1
	_, err := w.ring.Decrypt(t.Context(), wrong, nil)
	look("a wrong ciphertext", err)
	look("the ring", w.ring, *w.ring, w.ring.root, w.ring.c.ring, w.ring.c.vault.sealing.Load())
	if trail.Len() < 1000 {
		t.Fatal("nothing was recorded")
	}
	if name := leaks(trail.String(), secrets); name != "" {
		t.Errorf("the trail holds %s", name)
	}
}

// TestDataKeysAreNotEncoded: every encoder refuses a data key, and every verb redacts it wherever it is.
func TestDataKeysAreNotEncoded(t *testing.T) {
	r, key := ring(t)
	dk, err := r.GenerateDataKey(t.Context(), key.ARN, AES256, nil)
	if err != nil {
		t.Fatal(err)
	}
	secrets := map[string][]byte{"the data key": bytes.Clone(dk.Plaintext())}
	type nested struct {
		exported DataKey
		pointer  *DataKey
		list     []DataKey
		m        map[string]DataKey
	}
	n := nested{dk, &dk, []DataKey{dk}, map[string]DataKey{"k": dk}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%c", "%p"} {
		for _, v := range []any{dk, &dk, n, &n, struct{ DataKey }{dk}} {
			if name := leaks(fmt.Sprintf(verb, v), secrets); name != "" {
				t.Errorf("%s of %T shows %s", verb, v, name)
			}
		}
	}
	if got := dk.String(); !strings.Contains(got, key.ARN) || !strings.Contains(got, "32 bytes") {
		t.Errorf("%s", got)
	}
	for name, encode := range map[string]func(v any) error{
		"json": func(v any) error { _, err := json.Marshal(v); return err },
		"xml":  func(v any) error { _, err := xml.Marshal(v); return err },
		"gob":  func(v any) error { return gob.NewEncoder(new(bytes.Buffer)).Encode(v) },
	} {
		if encode(dk) == nil || encode(struct{ K DataKey }{dk}) == nil {
			t.Errorf("%s encodes a data key", name)
		}
	}
	if _, err := dk.MarshalBinary(); err == nil {
		t.Error("MarshalBinary encodes a data key")
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", dk, "result", DecryptResult{Plaintext: dk.Plaintext()})
	if name := leaks(log.String(), secrets); name != "" {
		t.Errorf("the log holds %s", name)
	}
	var zero DataKey
	if zero.Zero(); len(zero.Plaintext()) != 0 || zero.Use(func([]byte) error { return nil }) == nil {
		t.Error("the zero data key does not work")
	}
}
