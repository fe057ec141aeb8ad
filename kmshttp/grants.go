package kmshttp

import (
	"context"

	"github.com/claviger/kms"
)

func createGrant(in *input) call {
	in.require("KeyId", "Operations")
	key, constraints := in.text("KeyId"), in.object("Constraints")
	what := kms.CreateGrantInput{
		GranteePrincipal: in.filled("GranteePrincipal"), GranteeServicePrincipal: in.filled("GranteeServicePrincipal"),
		RetiringPrincipal: in.filled("RetiringPrincipal"), RetiringServicePrincipal: in.filled("RetiringServicePrincipal"),
		Constraints: kms.GrantConstraints{
			EncryptionContextEquals: constraints.filledPairs("EncryptionContextEquals"), EncryptionContextSubset: constraints.filledPairs("EncryptionContextSubset"),
			SourceARN: constraints.filled("SourceArn"),
		},
		Name: in.filled("Name"),
	}
	for _, operation := range in.texts("Operations") {
		what.Operations = append(what.Operations, kms.GrantOperation(operation))
	}
	return func(ctx context.Context, c *kms.Client) (object, error) {
		out, err := c.CreateGrant(ctx, key, what)
		return object{"GrantId": out.GrantID, "GrantToken": out.GrantToken}, err
	}
}

func listGrants(in *input) call {
	in.require("KeyId")
	key, page := in.text("KeyId"), page(in)
	which := kms.ListGrantsInput{
		GrantID: in.filled("GrantId"), GranteePrincipal: in.filled("GranteePrincipal"), GranteeServicePrincipal: in.filled("GranteeServicePrincipal"),
	}
	return func(ctx context.Context, c *kms.Client) (object, error) {
		p, err := c.ListGrantsPage(ctx, key, which, page)
		return pageOf("Grants", p, grant), err
	}
}

func listRetirableGrants(in *input) call {
	which := kms.ListRetirableGrantsInput{RetiringPrincipal: in.filled("RetiringPrincipal"), RetiringServicePrincipal: in.filled("RetiringServicePrincipal")}
	page := page(in)
	return func(ctx context.Context, c *kms.Client) (object, error) {
		p, err := c.ListRetirableGrantsPage(ctx, which, page)
		return pageOf("Grants", p, grant), err
	}
}

func retireGrant(in *input) call {
	which := kms.RetireGrantInput{GrantToken: in.filled("GrantToken"), KeyRef: in.filled("KeyId"), GrantID: in.filled("GrantId")}
	return func(ctx context.Context, c *kms.Client) (object, error) { return nil, c.RetireGrant(ctx, which) }
}

func revokeGrant(in *input) call {
	in.require("KeyId", "GrantId")
	key, grant := in.text("KeyId"), in.text("GrantId")
	return func(ctx context.Context, c *kms.Client) (object, error) { return nil, c.RevokeGrant(ctx, key, grant) }
}
