package kmshttp

import (
	"context"

	"github.com/claviger/kms"
)

// onAlias is an operation that takes an alias and its target, and answers nothing.
func onAlias(operation func(c *kms.Client, ctx context.Context, name, target string) error) func(*input) call {
	return func(in *input) call {
		in.require("AliasName", "TargetKeyId")
		name, target := in.text("AliasName"), in.text("TargetKeyId")
		return func(ctx context.Context, c *kms.Client) (object, error) { return nil, operation(c, ctx, name, target) }
	}
}

func deleteAlias(in *input) call {
	in.require("AliasName")
	name := in.text("AliasName")
	return func(ctx context.Context, c *kms.Client) (object, error) { return nil, c.DeleteAlias(ctx, name) }
}

func listAliases(in *input) call {
	key, page := in.filled("KeyId"), page(in)
	return func(ctx context.Context, c *kms.Client) (object, error) {
		p, err := c.ListAliasesPage(ctx, key, page)
		return pageOf("Aliases", p, func(a kms.AliasListEntry) any {
			o := object{"AliasName": a.AliasName, "AliasArn": a.AliasARN}
			set(o, "TargetKeyId", a.TargetKeyID)
			setTime(o, "CreationDate", a.CreationDate)
			setTime(o, "LastUpdatedDate", a.LastUpdatedDate)
			return o
		}), err
	}
}
