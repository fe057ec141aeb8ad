package keystoretest

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/claviger/kms/keystore"
)

var limitRules = []rule{
	{
		name: "a value of the largest size fits",
		why:  "a key with a long policy and many tags cannot be stored",
		check: func(ctx context.Context, s keystore.Store) error {
			value := strings.Repeat("0123456789abcdef", keystore.MaxValueLen/16)
			rev, err := put(ctx, s, "n", value, 0)
			if err != nil {
				return err
			}
			if err := wantRecord(ctx, s, "n", value, rev); err != nil {
				return err
			}
			if rev, err = put(ctx, s, "n", value[1:], rev); err != nil {
				return err
			}
			return wantRecord(ctx, s, "n", value[1:], rev)
		},
	},
	{
		name: "a full batch fits",
		why:  "creating a key with everything that belongs to it fails",
		check: func(ctx context.Context, s keystore.Store) error {
			batch := fullBatch()
			rev, err := s.Commit(ctx, batch)
			if err != nil {
				return fmt.Errorf("commit of %d changes and %d bytes: %w", keystore.MaxChanges, keystore.MaxCommitLen, err)
			}
			for _, c := range batch {
				if err := wantRecord(ctx, s, c.Name, string(c.Value), rev); err != nil {
					return err
				}
			}
			for i := range batch {
				batch[i] = keystore.Change{Op: keystore.Delete, Name: batch[i].Name, Revision: rev}
			}
			if _, err := s.Commit(ctx, batch); err != nil {
				return fmt.Errorf("commit of %d deletions: %w", len(batch), err)
			}
			records, err := all(ctx, s, "", 10)
			if err != nil {
				return err
			}
			return wantNames(records)
		},
	},
	{
		name: "what is outside the limits is refused and changes nothing",
		why:  "a keyring that works on one store fails on another, or a record is cut short",
		check: func(ctx context.Context, s keystore.Store) error {
			revs, err := create(ctx, s, "a")
			if err != nil {
				return err
			}
			for _, tc := range []struct {
				what    string
				changes []keystore.Change
			}{
				{"no changes", nil},
				{"65 changes", append(manyPuts(keystore.MaxChanges), keystore.Change{Op: keystore.Put, Name: "one more"})},
				{"a value one byte too large", []keystore.Change{{Op: keystore.Put, Name: "b", Value: make([]byte, keystore.MaxValueLen+1)}}},
				{"one byte too many", oneByteMore()},
				{"an empty name", []keystore.Change{{Op: keystore.Put}}},
				{"a name one byte too long", []keystore.Change{{Op: keystore.Put, Name: strings.Repeat("n", keystore.MaxNameLen+1)}}},
				{"a name with NUL", []keystore.Change{{Op: keystore.Put, Name: "b\x00"}}},
				{"a name that is not UTF-8", []keystore.Change{{Op: keystore.Put, Name: "b\xff"}}},
				{"a name twice", []keystore.Change{{Op: keystore.Put, Name: "b"}, {Op: keystore.Put, Name: "b"}}},
				{"a name put and deleted", []keystore.Change{{Op: keystore.Put, Name: "a", Revision: revs["a"]}, {Op: keystore.Delete, Name: "a", Revision: revs["a"]}}},
				{"a deletion without revision", []keystore.Change{{Op: keystore.Delete, Name: "b"}}},
				{"a deletion with a value", []keystore.Change{{Op: keystore.Delete, Name: "a", Revision: revs["a"], Value: []byte("v")}}},
				{"an unknown operation", []keystore.Change{{Op: 99, Name: "b"}}},
				{"no operation", []keystore.Change{{Name: "b"}}},
			} {
				if err := wantCommit(ctx, s, tc.what, keystore.ErrInvalid, tc.changes...); err != nil {
					return err
				}
				if len(tc.changes) == 0 {
					continue
				}
				good := keystore.Change{Op: keystore.Put, Name: "good"}
				if err := wantCommit(ctx, s, tc.what+" after a good change", keystore.ErrInvalid, append([]keystore.Change{good}, tc.changes...)...); err != nil {
					return err
				}
			}
			records, err := all(ctx, s, "", 10)
			if err != nil {
				return err
			}
			if err := wantNames(records, "a"); err != nil {
				return err
			}
			return wantRecord(ctx, s, "a", "a", revs["a"])
		},
	},
	{
		name: "reads outside the limits are refused",
		why:  "a driver answers NotFound, or everything, to a question it cannot ask its backend",
		check: func(ctx context.Context, s keystore.Store) error {
			if _, err := create(ctx, s, "a"); err != nil {
				return err
			}
			for what, name := range map[string]string{"empty": "", "too long": strings.Repeat("n", keystore.MaxNameLen+1), "with NUL": "a\x00", "not UTF-8": "a\xff"} {
				_, err := s.Get(ctx, name)
				if err := wantError("Get of a name that is "+what, err, keystore.ErrInvalid); err != nil {
					return err
				}
				if name == "" {
					continue
				}
				_, err = s.List(ctx, name, "", 1)
				if err := wantError("List of a prefix that is "+what, err, keystore.ErrInvalid); err != nil {
					return err
				}
				_, err = s.List(ctx, "", name, 1)
				if err := wantError("List after a name that is "+what, err, keystore.ErrInvalid); err != nil {
					return err
				}
			}
			for _, limit := range []int{0, -1, keystore.MaxListLimit + 1} {
				_, err := s.List(ctx, "", "", limit)
				if err := wantError(fmt.Sprintf("List of %d", limit), err, keystore.ErrInvalid); err != nil {
					return err
				}
			}
			_, err := s.List(ctx, "", "", keystore.MaxListLimit)
			return err
		},
	},
}

func manyPuts(n int) []keystore.Change {
	changes := make([]keystore.Change, n)
	for i := range changes {
		changes[i] = keystore.Change{Op: keystore.Put, Name: fmt.Sprintf("n%02d", i)}
	}
	return changes
}

// fullBatch returns a batch with the most changes and the most bytes.
func fullBatch() []keystore.Change {
	changes := manyPuts(keystore.MaxChanges)
	for i := range changes {
		changes[i].Value = bytes.Repeat([]byte{byte(i)}, keystore.MaxCommitLen/keystore.MaxChanges-len(changes[i].Name))
	}
	return changes
}

func oneByteMore() []keystore.Change {
	changes := fullBatch()
	changes[0].Value = append(changes[0].Value, 0)
	return changes
}
