package identities_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/claviger/kms"
	"github.com/claviger/kms/identities"
)

// A key with the default policy is for those to whom the account's IAM policies give it. When carol leaves the group, she may not use it any more.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "identities")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "iam.json")
	write := func(groups string) error {
		return os.WriteFile(path, []byte(`{
			"UserDetailList": [{"Arn": "arn:aws:iam::111122223333:user/ops/carol", "GroupList": [`+groups+`]}],
			"GroupDetailList": [{
				"Arn": "arn:aws:iam::111122223333:group/operators",
				"GroupPolicyList": [{"PolicyDocument": {
					"Version": "2012-10-17",
					"Statement": {"Effect": "Allow", "Action": ["kms:Encrypt", "kms:Decrypt"], "Resource": "*"}
				}}]
			}]
		}`), 0o600)
	}
	if err := write(`"operators"`); err != nil {
		fmt.Println(err)
		return
	}
	ids, err := identities.Open(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	ring, err := kms.Open(ctx, kms.Config{AccountID: "111122223333", Identities: ids})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer ring.Close()
	key, err := ring.CreateKey(ctx, kms.CreateKeyInput{})
	if err != nil {
		fmt.Println(err)
		return
	}
	carol := ring.As(kms.User("ops/carol"))
	_, err = carol.Encrypt(ctx, key.KeyID, []byte("blue whale"), nil)
	fmt.Println("in the group:", err)

	if err := write(""); err != nil {
		fmt.Println(err)
		return
	}
	if err := ids.Reload(); err != nil { // or ids.Watch, in a goroutine
		fmt.Println(err)
		return
	}
	_, err = carol.Encrypt(ctx, key.KeyID, []byte("blue whale"), nil)
	fmt.Println("out of it:", errors.Is(err, kms.ErrAccessDenied))
	// Output:
	// in the group: <nil>
	// out of it: true
}
