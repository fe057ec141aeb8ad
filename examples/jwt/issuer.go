package main

import (
	"context"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/claviger/kms"
)

const (
	issuerURL = "https://issuer.example"
	audience  = "https://orders.example"
	lifetime  = 10 * time.Minute // a token cannot be taken back, so it does not last
)

// An issuer issues tokens by one key.
type issuer struct {
	keyID  string // names the key in tokens and in the key set; a key that takes the place of this one has another id
	signer *kms.Signer
	method method
}

func newIssuer(ctx context.Context, client *kms.Client, key kms.KeyMetadata, m method) (*issuer, error) {
	signer, err := client.Signer(ctx, key.ARN)
	if err != nil {
		return nil, err
	}
	return &issuer{key.KeyID, signer, m}, nil
}

// issue returns a token that says who its bearer is.
func (i *issuer) issue(ctx context.Context, subject string) (string, error) {
	now := time.Now()
	token := jwt.NewWithClaims(i.method, jwt.RegisteredClaims{
		Issuer: issuerURL, Subject: subject, Audience: jwt.ClaimStrings{audience}, IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(lifetime)),
	})
	token.Header["kid"] = i.keyID
	return token.SignedString(i.signer.WithContext(ctx))
}
