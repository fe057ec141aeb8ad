package kms_test

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claviger/kms"
	"github.com/claviger/kms/keystore/bolt"
)

// killedFile names, in the environment of a child, the file that it works on until it is killed.
const killedFile = "KMS_TEST_KILLED_FILE"

// openFile opens a ring on a bolt file.
func openFile(t testing.TB, path string) *kms.Keyring {
	t.Helper()
	store, err := bolt.Open(path, nil)
	check(t, err)
	t.Cleanup(func() { _ = store.Close() })
	ring, err := kms.Open(t.Context(), kms.Config{Store: store, Root: newGCMRoot(t, gcmKey(1))})
	check(t, err)
	t.Cleanup(func() { _ = ring.Close() })
	return ring
}

// An acknowledgement is what a child was told is done: a key that has an alias, a tag, so many rotations, and a message.
type acknowledgement struct {
	keyID, alias, tag string
	rotations         int
	ciphertext        []byte
}

func (a acknowledgement) String() string {
	return fmt.Sprintf("done %s %s %s %d %x", a.keyID, a.alias, a.tag, a.rotations, a.ciphertext)
}

func parseAcknowledgement(t *testing.T, line string) (a acknowledgement, ok bool) {
	t.Helper()
	var ciphertext string
	if n, _ := fmt.Sscanf(line, "done %s %s %s %d %s", &a.keyID, &a.alias, &a.tag, &a.rotations, &ciphertext); n != 5 {
		return a, false
	}
	a.ciphertext = must(hex.DecodeString(ciphertext))(t)
	return a, true
}

// work changes keys from several goroutines, and prints what is done, until somebody kills the process.
func work(t *testing.T, path string) {
	ring := openFile(t, path)
	ctx := context.Background()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for n := 0; ; n++ {
				name := fmt.Sprintf("%d-%d-%d", os.Getpid(), g, n)
				key, err := ring.CreateKey(ctx, kms.CreateKeyInput{Description: name})
				check(t, err)
				a := acknowledgement{keyID: key.KeyID, alias: "alias/" + name, tag: name}
				check(t, ring.CreateAlias(ctx, a.alias, key.ARN))
				for a.rotations = range 3 {
					check(t, ring.TagResource(ctx, key.ARN, kms.Tag{Key: "name", Value: a.tag}))
					out, err := ring.Encrypt(ctx, a.alias, []byte(name), kms.EncryptionContext{"n": name})
					check(t, err)
					a.ciphertext = out.Ciphertext
					mu.Lock()
					fmt.Println(a)
					mu.Unlock()
					_, err = ring.RotateKeyOnDemand(ctx, key.ARN)
					check(t, err)
				}
			}
		})
	}
	wg.Wait()
}

// TestKilledRingLosesNothing kills a process that works on a ring, again and again on the same file, and looks for everything that the process was told is done.
func TestKilledRingLosesNothing(t *testing.T) {
	if path := os.Getenv(killedFile); path != "" {
		work(t, path)
		return
	}
	path := filepath.Join(t.TempDir(), "ring.db")
	var all []acknowledgement
	for round := range 20 {
		child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		child.Env = append(os.Environ(), killedFile+"="+path)
		out := must(child.StdoutPipe())(t)
		check(t, child.Start())
		kill := time.AfterFunc(time.Duration(40+rand.IntN(160))*time.Millisecond, func() { _ = child.Process.Kill() })
		var other []string
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if a, ok := parseAcknowledgement(t, lines.Text()); ok {
				all = append(all, a)
			} else if !strings.HasPrefix(lines.Text(), "done") { // a line may be cut by the kill
				other = append(other, lines.Text())
			}
		}
		kill.Stop()
		if err := child.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("round %d: the child was not killed, but ended by itself: %v\n%s", round, err, strings.Join(other, "\n"))
		}
		verifyAcknowledged(t, path, all[max(0, len(all)-200):])
	}
	verifyAcknowledged(t, path, all)
	if len(all) < 20 {
		t.Errorf("only %d changes were acknowledged", len(all))
	}
	t.Logf("%d changes were acknowledged, none is lost", len(all))
}

func verifyAcknowledged(t *testing.T, path string, done []acknowledgement) {
	t.Helper()
	store := must(bolt.Open(path, nil))(t)
	defer store.Close()
	ring := must(kms.Open(t.Context(), kms.Config{Store: store, Root: newGCMRoot(t, gcmKey(1))}))(t)
	defer ring.Close()
	for _, a := range done {
		meta := must(ring.DescribeKey(t.Context(), a.alias))(t)
		got := must(ring.Decrypt(t.Context(), a.ciphertext, kms.EncryptionContext{"n": a.tag}))(t)
		tags := must(ring.ListResourceTagsPage(t.Context(), a.keyID, kms.PageInput{}))(t)
		rotations := must(ring.ListKeyRotationsPage(t.Context(), a.keyID, kms.ListKeyRotationsInput{}, kms.PageInput{}))(t)
		if meta.KeyID != a.keyID || meta.Description != a.tag || string(got.Plaintext) != a.tag || len(tags.Entries) != 1 || tags.Entries[0].Value != a.tag ||
			len(rotations.Entries) < a.rotations {
			t.Errorf("%s: %+v, tags %v, %d rotations", a.alias, meta, tags.Entries, len(rotations.Entries))
		}
	}
}
