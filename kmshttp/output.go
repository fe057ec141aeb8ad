package kmshttp

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/claviger/kms"
)

// An object is an answer, or a part of one. Members that have no value are left out.
type object map[string]any

// set sets a member unless its value is the zero one, which stands for absence.
func set[T comparable](o object, name string, value T) {
	if value != *new(T) {
		o[name] = value
	}
}

// setList sets a member unless the list is empty.
func setList[T any](o object, name string, list []T) {
	if len(list) > 0 {
		o[name] = list
	}
}

// setTime sets a time, as seconds since 1970 with a fraction, unless it is zero.
func setTime(o object, name string, t time.Time) {
	if !t.IsZero() {
		o[name] = json.Number(strconv.FormatFloat(float64(t.UnixMilli())/1e3, 'f', -1, 64))
	}
}

func setAlgorithms(o object, l kms.KeyAlgorithms) {
	setList(o, "EncryptionAlgorithms", l.EncryptionAlgorithms)
	setList(o, "SigningAlgorithms", l.SigningAlgorithms)
	setList(o, "MacAlgorithms", l.MacAlgorithms)
	setList(o, "KeyAgreementAlgorithms", l.KeyAgreementAlgorithms)
	setList(o, "EncapsulationAlgorithms", l.EncapsulationAlgorithms)
}

func keyMetadata(m kms.KeyMetadata) object {
	o := object{
		"AWSAccountId": m.AccountID, "KeyId": m.KeyID, "Arn": m.ARN, "Enabled": m.Enabled, "Description": m.Description, "KeyUsage": m.KeyUsage, "KeyState": m.KeyState,
		"Origin": m.Origin, "KeyManager": m.KeyManager, "KeySpec": m.KeySpec, "CustomerMasterKeySpec": m.KeySpec, "MultiRegion": m.MultiRegion,
	}
	setTime(o, "CreationDate", m.CreationDate)
	setTime(o, "DeletionDate", m.DeletionDate)
	set(o, "CurrentKeyMaterialId", m.CurrentKeyMaterialID)
	setAlgorithms(o, m.KeyAlgorithms)
	return o
}

// pageOf writes a page of a list, each entry as a function does.
func pageOf[T any](name string, p kms.Page[T], entry func(T) any) object {
	entries := make([]any, len(p.Entries))
	for i, e := range p.Entries {
		entries[i] = entry(e)
	}
	o := object{name: entries, "Truncated": p.Truncated}
	set(o, "NextMarker", p.NextMarker)
	return o
}

func grant(g kms.Grant) any {
	o := object{"KeyId": g.KeyARN, "GrantId": g.GrantID, "IssuingAccount": g.IssuingAccount, "Operations": g.Operations}
	setTime(o, "CreationDate", g.CreationDate)
	set(o, "Name", g.Name)
	set(o, "GranteePrincipal", g.GranteePrincipal)
	set(o, "GranteeServicePrincipal", g.GranteeServicePrincipal)
	set(o, "RetiringPrincipal", g.RetiringPrincipal)
	set(o, "RetiringServicePrincipal", g.RetiringServicePrincipal)
	constraints := object{}
	if ec := g.Constraints.EncryptionContextEquals; len(ec) > 0 {
		constraints["EncryptionContextEquals"] = ec
	}
	if ec := g.Constraints.EncryptionContextSubset; len(ec) > 0 {
		constraints["EncryptionContextSubset"] = ec
	}
	set(constraints, "SourceArn", g.Constraints.SourceARN)
	if len(constraints) > 0 {
		o["Constraints"] = constraints
	}
	return o
}
