package kmshttp_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"

	"github.com/claviger/kms"
	"github.com/claviger/kms/kmshttp"
)

// accessKeys are the credentials of a program that keeps them itself.
type accessKeys map[string]kmshttp.Credential

func (k accessKeys) Credential(_ context.Context, accessKeyID, _ string) (kmshttp.Credential, error) {
	if c, ok := k[accessKeyID]; ok {
		return c, nil
	}
	return kmshttp.Credential{}, kmshttp.ErrUnknownIdentity
}

// A ring is served at a path beside whatever else a program serves.
func ExampleNew() {
	ctx := context.Background()
	ring, err := kms.Open(ctx, kms.Config{AccountID: "111122223333", Region: "eu-central-1"})
	if err != nil {
		log.Fatal(err)
	}
	defer ring.Close()
	keys := accessKeys{"AKIAIOSFODNN7EXAMPLE": {SecretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", Caller: kms.Role("orders")}}
	handler, err := kmshttp.New(kmshttp.Config{Rings: []*kms.Keyring{ring}, Authenticator: kmshttp.SigV4(keys)})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/kms/", handler)
	server := kmshttp.NewServer(mux)
	fmt.Println(server.Handler == mux)
	// Output: true
}

// Whatever sends requests of AWS KMS through an http.Client can be answered by a ring.
func ExampleTransport() {
	ctx := context.Background()
	ring, err := kms.Open(ctx, kms.Config{AccountID: "111122223333", Region: "eu-central-1"})
	if err != nil {
		log.Fatal(err)
	}
	defer ring.Close()
	client := &http.Client{Transport: kmshttp.Transport(ring).As(kms.Role("orders"))}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://kms.eu-central-1.amazonaws.com", strings.NewReader(`{"KeyId":"alias/orders"}`))
	if err != nil {
		log.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", "TrentService.DescribeKey")
	answer, err := client.Do(r)
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer.StatusCode, string(text))
	// Output: 400 {"__type":"NotFoundException","message":"Alias arn:aws:kms:eu-central-1:111122223333:alias/orders is not found."}
}
