package kmshttp_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/claviger/kms"
)

// A list is an operation that returns a page, with what a world must hold for it to have five entries or more.
type list struct {
	operation, entries, name string // of the operation, of its entries, and of what differs between them
	request                  func(w *world) request
	fill                     func(w *world)
}

var lists = []list{
	{"ListKeys", "Keys", "KeyArn", alone, func(w *world) {
		for i := range 5 {
			w.key(fmt.Sprint(i), kms.SymmetricDefault, kms.EncryptDecrypt)
		}
	}},
	{"ListAliases", "Aliases", "AliasName", alone, fiveAliases},
	{"ListAliases", "Aliases", "AliasName", ofKey, fiveAliases},
	{"ListGrants", "Grants", "GrantId", ofKey, fiveGrants},
	{"ListGrants", "Grants", "GrantId", func(w *world) request { return ofKey(w).with("GranteePrincipal", grantee) }, fiveGrants},
	{"ListRetirableGrants", "Grants", "GrantId", func(*world) request { return request{"RetiringPrincipal": grantee} }, fiveGrants},
	{"ListResourceTags", "Tags", "TagKey", ofKey, func(w *world) {
		for i := range 5 {
			w.do("TagResource", request{"KeyId": w.symmetric(), "Tags": []request{{"TagKey": fmt.Sprint(i), "TagValue": ""}}})
		}
	}},
	{"ListKeyRotations", "Rotations", "KeyMaterialId", func(w *world) request { return ofKey(w).with("IncludeKeyMaterial", "ALL_KEY_MATERIAL") }, fiveRotations},
	{"ListKeyRotations", "Rotations", "KeyMaterialId", ofKey, fiveRotations},
}

func ofKey(w *world) request { return request{"KeyId": w.symmetric()} }

func fiveAliases(w *world) {
	for i := range 5 {
		w.do("CreateAlias", request{"AliasName": fmt.Sprintf("alias/%d", i), "TargetKeyId": w.symmetric()})
	}
}

func fiveGrants(w *world) {
	for range 5 {
		w.do("CreateGrant", request{"KeyId": w.symmetric(), "Operations": []string{"Decrypt"}, "GranteePrincipal": grantee, "RetiringPrincipal": grantee})
	}
}

func fiveRotations(w *world) {
	for range 5 {
		w.do("RotateKeyOnDemand", request{"KeyId": w.symmetric()})
	}
}

// TestPages: a list is the same however many entries its pages have, each page tells whether there is more, and where it goes on if there is.
func TestPages(t *testing.T) {
	for _, l := range lists {
		w := newWorld(t)
		l.fill(w)
		least := l.request(w)
		whole := w.post(l.operation, least)
		all := entries(t, whole, l.entries)
		if len(all) < 5 || names(whole.m) != strings.Join(slices.Sorted(slices.Values([]string{l.entries, "Truncated"})), " ") || whole.m["Truncated"] != false {
			t.Fatalf("%s: %s", l.operation, whole.body)
		}
		for limit := 1; limit <= len(all)+1; limit++ {
			var got []map[string]any
			r := least.with("Limit", limit)
			for pages := 0; ; pages++ {
				a := w.post(l.operation, r)
				page := entries(t, a, l.entries)
				got = append(got, page...)
				marker, marked := a.m["NextMarker"].(string)
				if len(page) > limit || a.m["Truncated"] != marked || len(marker) > 1024 || pages > 10 {
					t.Fatalf("%s by %d: %s", l.operation, limit, a.body)
				}
				if !marked {
					break
				}
				r = r.with("Marker", marker)
			}
			if len(got) != len(all) || !slices.EqualFunc(got, all, func(a, b map[string]any) bool { return a[l.name] == b[l.name] }) {
				t.Errorf("%s by %d: %v\nwant %v", l.operation, limit, got, all)
			}
		}
		marker := w.post(l.operation, least.with("Limit", 2)).m["NextMarker"].(string)
		const none = "The marker is not one that this list returned."
		for what, m := range map[string]string{"cut": marker[:len(marker)-1], "longer": marker + "A", "another": strings.ToUpper(marker)} {
			w.post(l.operation, least.with("Marker", m)).refused(t, l.operation+" with a marker that is "+what, kms.ErrInvalidMarker, none)
		}
		other := newWorld(t)
		l.fill(other)
		other.post(l.operation, l.request(other).with("Marker", marker)).refused(t, l.operation+" with a marker of another ring", kms.ErrInvalidMarker, none)
		for _, o := range lists {
			if l.operation != o.operation {
				w.post(o.operation, o.request(w).with("Marker", marker)).refused(t, o.operation+" with a marker of "+l.operation, kms.ErrInvalidMarker, none)
			}
		}
		if _, named := least["KeyId"]; named {
			w.post(l.operation, least.with("KeyId", w.other()).with("Marker", marker)).refused(t, l.operation+" with a marker of another key", kms.ErrInvalidMarker, none)
		}
	}
}
