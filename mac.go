package kms

import (
	"context"
	"crypto/hmac"
	"log/slog"
	"runtime"

	"github.com/claviger/kms/audit"
)

func macParams(r *request, e *audit.Event) {
	keyParam(r, e)
	e.Request = append(e.Request, slog.String("macAlgorithm", string(r.algo[0])))
}

// mac makes the request to authenticate a message.
func (v *violations) mac(ref string, message []byte, a Algorithm) request {
	v.ref("keyId", ref)
	v.length("message", len(message), 1, maxMessage)
	checkEnum(v, "macAlgorithm", a, algorithms[GenerateVerifyMac])
	return request{refs: [2]string{ref}, algo: [2]Algorithm{a}, invalid: v.err()}
}

// mac computes the MAC of a message under the call's key.
func (a admitted) mac(ctx context.Context, message []byte) ([]byte, error) {
	m, err := a.client.c.currentMaterial(ctx, a.keys[0])
	if err != nil {
		return nil, err
	}
	var sum []byte
	err = m.secret.Use(func(raw []byte) error {
		if isZero(raw) { // wiped, which cannot be while m is in use
			return errBody
		}
		h := hmac.New(schemes[a.req.algo[0]].hash.New, raw)
		h.Write(message)
		sum = h.Sum(nil)
		return nil
	})
	runtime.KeepAlive(m)
	return sum, err
}

// A MacResult is what GenerateMac returns.
type MacResult struct {
	Mac       []byte
	KeyARN    string
	Algorithm Algorithm
}

func (r MacResult) withhold() { clear(r.Mac) }

var opGenerateMac = operation{
	name: "GenerateMac", across: true, crypto: true, tokens: true, params: macParams,
	needs: []need{{action: "kms:GenerateMac", states: inEnabled, usage: GenerateVerifyMac}},
}

// GenerateMac returns the HMAC of 1 to 4096 bytes, in full length: 28, 32, 48 or 64 bytes. An HMAC key has one algorithm; any other is [ErrInvalidKeyUsage]. What is
// longer is hashed by whoever has it, and both sides authenticate the hash: there is no other way, and the MAC is not the HMAC of the message then. A MAC does not name
// its key; see [Client.Sign].
func (c *Client) GenerateMac(ctx context.Context, ref string, message []byte, algorithm Algorithm) (MacResult, error) {
	var v violations
	req := v.mac(ref, message, algorithm)
	return do(ctx, c, &opGenerateMac, &req, func(ctx context.Context, a admitted) (MacResult, error) {
		sum, err := a.mac(ctx, message)
		return MacResult{Mac: sum, KeyARN: a.keys[0].arn, Algorithm: a.req.algo[0]}, err
	})
}

var errInvalidMac error = &fault{code: ErrInvalidMac}

var opVerifyMac = operation{
	name: "VerifyMac", across: true, crypto: true, tokens: true, params: macParams,
	needs: []need{{action: "kms:VerifyMac", states: inEnabled, usage: GenerateVerifyMac}},
}

// VerifyMac succeeds if mac is the HMAC of message under a key, which it compares in constant time. If it is not, that is [ErrInvalidMac]; there is no other answer.
// A mac that is empty or longer than 6144 bytes, as a message that GenerateMac does not take, is [ErrValidation], and compared with nothing.
func (c *Client) VerifyMac(ctx context.Context, ref string, message, mac []byte, algorithm Algorithm) (VerifyResult, error) {
	var v violations
	v.length("mac", len(mac), 1, maxSignature)
	req := v.mac(ref, message, algorithm)
	return do(ctx, c, &opVerifyMac, &req, func(ctx context.Context, a admitted) (VerifyResult, error) {
		sum, err := a.mac(ctx, message)
		if err != nil {
			return VerifyResult{}, err
		}
		defer clear(sum)
		if !hmac.Equal(sum, mac) {
			return VerifyResult{}, errInvalidMac
		}
		return VerifyResult{KeyARN: a.keys[0].arn, Algorithm: a.req.algo[0]}, nil
	})
}
