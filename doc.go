// Package kms is a key management service that runs inside a Go program. It gives an application what AWS KMS gives an account, with the same semantics, and
// keeps its keys in a store that the application has.
//
// # Terms
//
// They mean what they mean in AWS KMS. A key, in full a customer managed key, has an ARN, a key policy, tags, aliases, a state, and versions of key material,
// of which the current one encrypts and all decrypt. Rotation gives a key new material; its ARN, policy and aliases stay. An alias is a name that can be moved
// to another key. A data key is a key for use outside the keyring, kept beside the data in encrypted form. An encryption context is a set of names and values
// that a ciphertext is bound to. An asymmetric key signs, decrypts, agrees on secrets or encapsulates them, and an HMAC key authenticates messages; both have one
// material for life. A key policy is a document in IAM's JSON language: it says who may do what with the key, and nobody else may.
//
// A [Keyring] holds the keys of one account and Region. A [Client] is what one caller sees of it. A key store keeps the ring's records, sealed so that it
// can neither read, forge nor move them. A root key, outside the store, opens the ring.
//
// # Quick start
//
//	store, err := bolt.Open("keys.db", nil)
//	root, err := passphrase.New([]byte(os.Getenv("KMS_PASSPHRASE")), nil)
//	ring, err := kms.Open(ctx, kms.Config{Store: store, Root: root, AccountID: "111122223333", Region: "eu-central-1"})
//	defer store.Close()
//	defer ring.Close()
//
//	policy, err := ring.DefaultPolicy([]kms.Caller{kms.Role("security")}, []kms.Caller{kms.Role("orders")})
//	key, err := ring.CreateKey(ctx, kms.CreateKeyInput{Description: "orders", Policy: policy})
//	err = ring.CreateAlias(ctx, "alias/orders", key.ARN)
//
//	orders := ring.As(kms.Role("orders")) // hand this to the component: it cannot become somebody else
//	tenant := kms.EncryptionContext{"tenant": "42"}
//	out, err := orders.Encrypt(ctx, "alias/orders", card, tenant)
//	back, err := orders.Decrypt(ctx, out.Ciphertext, tenant)
//
//	dk, err := orders.GenerateDataKey(ctx, "alias/orders", kms.AES256, tenant) // for what is larger than 4096 bytes
//	defer dk.Zero()
//
//	signing, err := ring.CreateKey(ctx, kms.CreateKeyInput{KeySpec: kms.ECCNISTP256, KeyUsage: kms.SignVerify})
//	signer, err := ring.Signer(ctx, signing.ARN) // a crypto.Signer for certificates, TLS and SSH, whose key stays in the ring
//
// # Who may do what
//
// Every operation asks [Evaluate] before it looks at anything else: key policies, identity policies within their boundaries and session policies, control policies, and
// grants, for callers of the ring's account and of others. The ring itself acts as the account's root user, whom key policies bind like everyone. A denial is
// [ErrAccessDenied], and says which statement denied or which permission is missing where the caller may know it; [Keyring.Simulate] tells all of it. What has no key
// (CreateKey, ListKeys, ListAliases, GenerateRandom, and the alias's side of alias operations) is the root user's, and theirs to whom identity policies give it.
// Identity policies come from [Config.Identities]; without them nobody has any.
//
// There are three tiers of keys. Customer managed keys are those that CreateKey makes. A service managed key, under alias/aws/..., is a component's that acts for its
// callers ([Keyring.ServiceKey]). The ring's own keys seal its records; nobody can name them.
//
// # What happens by itself
//
// Due rotation is made by the first operation that meets it; a key past its deletion date is gone at once. [Keyring.Maintain], called every few minutes to hours,
// rotates keys that nobody uses and destroys the material of deleted ones, in two steps at least an hour apart. Nothing runs in the background.
//
// Several processes may open one store, where its driver permits it. A change is in effect in the process that made it when the call returns, and in every other
// within Config.MaxStaleness. A store that cannot be reached makes operations fail once that time is over.
//
// # Map of the module
//
//   - policy: the IAM policy language
//   - identities: users, groups and roles from files
//   - keystore: the contract of key stores; keystore/memory, keystore/bolt; keystore/keystoretest for your own
//   - rootkey: the contract of root keys; rootkey/passphrase, rootkey/keyfile, rootkey/aead, rootkey/tinkkeyset; rootkey/rootkeytest for your own
//   - audit: events and sinks
//   - kmstest: a ring for tests
//
// The formats are in docs/format.md, the decisions in docs/design.md.
//
// # What this package does not protect against
//
// Whoever reads the process's memory reads its keys; wiping is best effort. Whoever has the root key and a copy of the store has everything in the copy, also what
// was deleted since. A store that brings back an older record of a key across a restart of all processes is not noticed. An encryption context is authenticated, not
// hidden: it appears in audit records. docs/threat-model.md has the whole list.
package kms
