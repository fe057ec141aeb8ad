package clients

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
)

// unanswered are members of outputs that the server never has a value for, by the end of their paths, beside those of operations that it does not offer.
var unanswered = []string{
	".CiphertextForRecipient",                                                                                // of Nitro enclaves
	".KeyMetadata.CloudHsmClusterId", ".KeyMetadata.CustomKeyStoreId", ".KeyMetadata.XksKeyConfiguration.Id", // custom key stores
	".KeyMetadata.ExpirationModel", ".KeyMetadata.ValidTo", // imported material
	".Rotations.ExpirationModel", ".Rotations.ImportState", ".Rotations.KeyMaterialDescription", ".Rotations.ValidTo",
	".KeyMetadata.MultiRegionConfiguration.MultiRegionKeyType", ".KeyMetadata.PendingDeletionWindowInDays", // multi-Region keys
	".KeyMetadata.MultiRegionConfiguration.PrimaryKey.Arn", ".KeyMetadata.MultiRegionConfiguration.PrimaryKey.Region",
	".KeyMetadata.MultiRegionConfiguration.ReplicaKeys.Arn", ".KeyMetadata.MultiRegionConfiguration.ReplicaKeys.Region",
	".OnDemandRotationStartDate",                          // a rotation that is under way: it is over when it is answered
	"CreateKey.KeyMetadata.DeletionDate",                  // of a key that is new
	"ListRetirableGrants.Grants.RetiringServicePrincipal", // which only the service itself lists
	"ListKeyPolicies.NextMarker",                          // after the only one
}

// wantModel requires that every member that the SDK has of any input was sent, and that every one that it has of any output was answered, but those that are unanswered.
func (c *calls) wantModel(t *testing.T) {
	inputs, outputs := map[string]bool{}, map[string]bool{}
	for method := range reflect.TypeFor[*kms.Client]().Methods() {
		if method.Type.NumOut() == 2 && notOffered[method.Name] == nil {
			addPaths(inputs, method.Name, method.Type.In(2))
			addPaths(outputs, method.Name, method.Type.Out(0))
		}
	}
	for _, path := range slices.Sorted(maps.Keys(inputs)) {
		if !c.inputs[path] {
			t.Errorf("%s was not sent", path)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(outputs)) {
		answered := !slices.ContainsFunc(unanswered, func(end string) bool { return strings.HasSuffix(path, end) })
		if c.outputs[path] != answered {
			t.Errorf("%s was answered: %v", path, !answered)
		}
	}
}

// addPaths adds the paths of a type's members: "CreateKey.KeyMetadata.Arn". Those in a list are as if there was one.
func addPaths(paths map[string]bool, above string, t reflect.Type) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t == reflect.TypeFor[time.Time]() {
		paths[above] = true
		return
	}
	for field := range t.Fields() {
		if field.IsExported() && field.Name != "ResultMetadata" {
			addPaths(paths, above+"."+field.Name, field.Type)
		}
	}
}

// addValues adds the paths of the members that have a value in an input or output, as JSON has it. Those within a map have paths that no type has, and do no harm.
func addValues(paths map[string]bool, above string, value any) {
	switch v := value.(type) {
	case nil:
	case map[string]any:
		paths[above] = paths[above] || len(v) > 0
		for name, inner := range v {
			addValues(paths, above+"."+name, inner)
		}
	case []any:
		for _, inner := range v {
			addValues(paths, above, inner)
		}
	default:
		paths[above] = paths[above] || v != ""
	}
}
