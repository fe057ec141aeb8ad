package identities

import (
	"slices"

	"github.com/claviger/kms"
)

// A state is what there is at one time. It never changes.
type state struct {
	identities map[string]*kms.Identity // by ARN
	all        []*kms.Identity          // by ARN
	accounts   map[string]*kms.Account
	documents  map[documentKey]*kms.PolicyDocument // whatever was compiled for it
}

// build reads sources. What is the same as before is what it was: documents that are equal are one, so that their addresses tell.
func build(before *state, sources []*source) (*state, error) {
	in := newInventory(before)
	for _, src := range sources {
		if err := in.read(src); err != nil {
			return nil, err
		}
	}
	return in.state()
}

func sameIdentity(a, b *kms.Identity) bool {
	return a.ARN == b.ARN && a.ID == b.ID && slices.Equal(a.Tags, b.Tags) && slices.Equal(a.Policies, b.Policies) && a.Boundary == b.Boundary
}

func sameAccount(a, b *kms.Account) bool {
	return a.ID == b.ID && a.OrganizationID == b.OrganizationID && slices.Equal(a.OrganizationPaths, b.OrganizationPaths) &&
		slices.EqualFunc(a.ServiceControl, b.ServiceControl, slices.Equal) && slices.EqualFunc(a.ResourceControl, b.ResourceControl, slices.Equal)
}
