//go:build linux && !race

package kms

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claviger/kms/keystore"
	"github.com/claviger/kms/keystore/bolt"
	"github.com/claviger/kms/rootkey/keyfile"
)

// memoryFolder names, in the environment of a child, the folder with the ring that it opens.
const memoryFolder = "KMS_TEST_MEMORY_FOLDER"

// holdRing is the child: it opens the ring, uses it, and tells when its parent may look; then it closes the ring, drops it, and tells again.
func holdRing(t *testing.T, folder string) {
	turn := bufio.NewReader(os.Stdin)
	look := func(at string) {
		fmt.Println(at)
		if _, err := turn.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan bool)
	go func() { // whose stack goes with it
		defer close(done)
		ctx := context.Background()
		root := sure(keyfile.Open(filepath.Join(folder, "root.key")))
		store := sure(bolt.Open(filepath.Join(folder, "ring.db"), nil))
		ring := sure(Open(ctx, Config{Store: store, Root: root}))
		ciphertext := sure(os.ReadFile(filepath.Join(folder, "ciphertext")))
		out := sure(ring.Decrypt(ctx, ciphertext, nil))
		for range 10 {
			sure(ring.Encrypt(ctx, out.KeyARN, out.Plaintext, nil))
			clear(sure(ring.Decrypt(ctx, ciphertext, nil)).Plaintext)
		}
		data := sure(ring.GenerateDataKey(ctx, out.KeyARN, AES256, nil))
		if err := os.WriteFile(filepath.Join(folder, "datakey"), data.Ciphertext, 0o600); err != nil {
			panic(err)
		}
		sure(ring.RotateKeyOnDemand(ctx, out.KeyARN))
		sure(ring.Encrypt(ctx, out.KeyARN, out.Plaintext, nil))
		look("open")
		clear(out.Plaintext) // what was handed out is the caller's to clear
		data.Zero()
		if err := ring.Close(); err != nil {
			panic(err)
		}
		if err := store.Close(); err != nil {
			panic(err)
		}
		runtime.KeepAlive(root)
	}()
	<-done
	for range 10 { // cleanups run on goroutines of the runtime
		runtime.GC()
		time.Sleep(20 * time.Millisecond)
	}
	look("closed")
}

// dump returns the memory that a process has written to, as a core dump would.
func dump(t *testing.T, pid int) (regions [][]byte) {
	t.Helper()
	memory := sure(os.Open(fmt.Sprintf("/proc/%d/mem", pid)))
	defer memory.Close()
	read := 0
	for line := range strings.Lines(string(sure(os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))))) {
		var from, to int64
		var rights string
		if n, _ := fmt.Sscanf(line, "%x-%x %s", &from, &to, &rights); n != 3 || !strings.HasPrefix(rights, "rw") {
			continue
		}
		region := make([]byte, to-from)
		if _, err := memory.ReadAt(region, from); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		regions, read = append(regions, region), read+len(region)
	}
	if read < 1<<20 {
		t.Fatalf("only %d bytes were read", read)
	}
	return regions
}

// A sighted secret stands so many times in a dump: where we put it, and in buffers that crypto/hkdf leaves behind.
type sighted struct{ ours, hashed int }

// sight counts how often each secret stands in a dump.
func sight(regions [][]byte, secrets canaries) map[string]sighted {
	found := map[string]sighted{}
	for name, secret := range secrets {
		var n sighted
		for _, region := range regions {
			n.ours += bytes.Count(region, swapped(secret))
			for at := bytes.Index(region, secret); at >= 0; {
				if isHashed(region[at+len(secret):], len(secret)) {
					n.hashed++
				} else {
					n.ours++
				}
				next := bytes.Index(region[at+1:], secret)
				if next < 0 {
					break
				}
				at += 1 + next
			}
		}
		found[name] = n
	}
	return found
}

// isHashed reports whether what follows n bytes is the rest of a SHA-256 state that took them after a block of its own: a buffer of 64 bytes, how much of it is
// filled, and how much was hashed; or the same buffer with the padding of FIPS 180-4, section 5.1.1, which the last step makes on the stack. HKDF hashes its secret so,
// with HMAC's padded key before it, and nobody can clear either.
func isHashed(rest []byte, n int) bool {
	empty := 64 - n
	if len(rest) < empty+16 {
		return false
	}
	state := isZero(rest[:empty]) && binary.LittleEndian.Uint64(rest[empty:]) == uint64(n) && binary.LittleEndian.Uint64(rest[empty+8:]) == uint64(64+n)
	padded := rest[0] == 0x80 && isZero(rest[1:empty-8]) && binary.BigEndian.Uint64(rest[empty-8:]) == 8*uint64(64+n)
	return state || padded
}

// swapped is a key as a cipher without instructions of the processor keeps it: in words of 32 bits.
func swapped(b []byte) []byte {
	out := bytes.Clone(b)
	for i := 0; i+4 <= len(b); i += 4 {
		binary.LittleEndian.PutUint32(out[i:], binary.BigEndian.Uint32(b[i:]))
	}
	return out
}

// TestClosedRingIsWiped searches the memory of a process that used a ring, while the ring is open and after it was closed and dropped, for what the ring owned. What
// HKDF's hashes leave behind is counted; docs/threat-model.md has the figures.
func TestClosedRingIsWiped(t *testing.T) {
	if folder := os.Getenv(memoryFolder); folder != "" {
		holdRing(t, folder)
		return
	}
	rounds := 3
	if os.Getenv("KMS_SOAK") != "" {
		rounds = 50
	}
	type dumped struct{ open, ours, hashed int }
	in := map[string]*dumped{}
	for range rounds {
		open, after := dumps(t)
		for name := range open {
			if in[name] == nil {
				in[name] = new(dumped)
			}
			in[name].open += min(open[name].ours, 1)
			in[name].ours += min(after[name].ours, 1)
			in[name].hashed += min(after[name].hashed, 1)
		}
		t.Logf("open: %v; closed: %v", open, after)
	}
	for _, name := range slices.Sorted(maps.Keys(in)) {
		d := in[name]
		t.Logf("%s: in %d of %d dumps while the ring was open; after it was closed in %d, and in the buffers of hashes in %d", name, d.open, rounds, d.ours, d.hashed)
		if d.open != rounds {
			t.Errorf("%s is not found while the ring is open", name)
		}
		if d.ours > 0 {
			t.Errorf("%s is still in memory after the ring was closed", name)
		}
	}
}

// dumps runs a child on a new ring, and searches its memory twice.
func dumps(t *testing.T) (open, after map[string]sighted) {
	t.Helper()
	folder := t.TempDir()
	root := sure(keyfile.Create(filepath.Join(folder, "root.key")))
	path := filepath.Join(folder, "ring.db")
	use := func(f func(ring *Keyring, store keystore.Store)) {
		store := sure(bolt.Open(path, nil))
		defer store.Close()
		ring := sure(Open(t.Context(), Config{Store: store, Root: root}))
		defer ring.Close()
		f(ring, store)
	}
	plaintext := make([]byte, 32)
	rand.Read(plaintext)
	use(func(ring *Keyring, _ keystore.Store) {
		key := sure(ring.CreateKey(t.Context(), CreateKeyInput{}))
		out := sure(ring.Encrypt(t.Context(), key.ARN, plaintext, nil))
		if err := os.WriteFile(filepath.Join(folder, "ciphertext"), out.Ciphertext, 0o600); err != nil {
			t.Fatal(err)
		}
	})

	child := exec.Command(os.Args[0], "-test.run=^TestClosedRingIsWiped$")
	child.Env = append(os.Environ(), memoryFolder+"="+folder)
	child.Stderr = os.Stderr
	stdin, stdout := sure(child.StdinPipe()), sure(child.StdoutPipe())
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = child.Process.Kill(); _ = child.Wait() }()
	lines := bufio.NewScanner(stdout)
	wait := func(at string) {
		t.Helper()
		if !lines.Scan() || lines.Text() != at {
			t.Fatalf("the child says %q, want %q", lines.Text(), at)
		}
	}
	wait("open")
	// The child waits in a read. What it has made since it opened the ring is known only after it closed the store, so that this memory is searched later.
	first := dump(t, child.Process.Pid)
	if _, err := io.WriteString(stdin, "\n"); err != nil {
		t.Fatal(err)
	}
	wait("closed")
	second := dump(t, child.Process.Pid)

	secrets := canaries{"the plaintext": plaintext}
	text := sure(os.ReadFile(filepath.Join(folder, "root.key")))
	secrets["the root key"] = sure(base64.StdEncoding.DecodeString(string(text[len("claviger-root-1:"):64])))[:32]
	use(func(ring *Keyring, store keystore.Store) {
		secrets["the index key"] = ring.c.ring.index.Clone()
		data := sure(ring.Decrypt(t.Context(), sure(os.ReadFile(filepath.Join(folder, "datakey"))), nil))
		secrets["the data key"] = data.Plaintext
		for _, item := range sure(store.List(t.Context(), "", "", keystore.MaxListLimit)) {
			switch kind, _, _ := strings.Cut(item.Name, "/"); kind {
			case kindDomain:
				secrets["the domain key"] = sure(sure(decodeDomainRecord(item.Value)).open(t.Context(), ring.c.cfg.roots())).Clone()
			case kindVersion:
				var r versionRecord
				if _, _, err := ring.c.open(t.Context(), kindVersion, item.Name, item, &r); err != nil {
					t.Fatal(err)
				}
				secrets[fmt.Sprint("material ", r.number)] = bytes.Clone(r.material)
			}
		}
	})
	if len(secrets) != 7 {
		t.Fatalf("known: %v", slices.Sorted(maps.Keys(secrets)))
	}
	return sight(first, secrets), sight(second, secrets)
}
