package clients

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestAdmin runs admin.sh with every AWS CLI that there is. The SDK for Go undoes what the script ended with, and reads what it left.
func TestAdmin(t *testing.T) {
	t.Parallel()
	find(t, "openssl")
	script := must(filepath.Abs("admin.sh"))(t)
	programs := installed("aws", "--version")
	if len(programs) == 0 {
		missing(t, "aws", "none tells its version")
	}
	for i, aws := range programs {
		t.Run(version(t, aws), func(t *testing.T) {
			t.Parallel()
			region, dir := regions[i], t.TempDir()
			cmd := exec.CommandContext(t.Context(), script)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(aws)+":"+os.Getenv("PATH"), "KMS_ENDPOINT="+endpoint, "KMS_REGION="+region)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("admin.sh: %v\n%s", err, out)
			}
			read := func(name string) []byte {
				t.Helper()
				return must(os.ReadFile(filepath.Join(dir, name)))(t)
			}
			service, arn := newSDK(), strings.TrimSpace(string(read("key.txt")))
			do := func(op string, in members) members {
				t.Helper()
				return must(service.call(root(region), op, in))(t)
			}
			if state := do("DescribeKey", members{"KeyId": arn}).at("KeyMetadata").text("KeyState"); state != "PendingDeletion" {
				t.Errorf("the key is %s", state)
			}
			var key members
			check(t, json.Unmarshal(read("key.json"), &key))
			if key.text("Arn") != arn || key.text("Description") != "orders" || key.text("KeyState") != "Enabled" {
				t.Errorf("the key was %v", key)
			}
			do("CancelKeyDeletion", members{"KeyId": arn})
			do("EnableKey", members{"KeyId": arn})
			material := map[string]any{}
			for _, name := range []string{"first.bin", "second.bin", "moved.bin"} {
				opened := do("Decrypt", members{"CiphertextBlob": read(name), "EncryptionContext": members{"tenant": "42"}})
				if !bytes.Equal(opened.blob("Plaintext"), read("plaintext.txt")) || opened.text("KeyId") != arn {
					t.Errorf("%s is %v", name, opened)
				}
				material[name] = opened["KeyMaterialId"]
			}
			if n := len(do("Decrypt", members{"CiphertextBlob": read("datakey.bin")}).blob("Plaintext")); n != 32 {
				t.Errorf("the data key has %d bytes", n)
			}
			// A CLI that knows how has rotated the key.
			rotated := 0
			if _, err := os.Stat(filepath.Join(dir, "rotations.json")); err == nil {
				rotated = 1
				var listed members
				check(t, json.Unmarshal(read("rotations.json"), &listed))
				if l := listed.list("Rotations"); len(l) != 1 || l[0].text("RotationType") != "ON_DEMAND" {
					t.Errorf("rotations are %v", listed)
				}
			}
			if n := len(do("ListKeyRotations", members{"KeyId": arn}).list("Rotations")); n != rotated {
				t.Errorf("the key has rotated %d times, want %d", n, rotated)
			}
			if was, is := material["first.bin"] != material["second.bin"], rotated == 1; was != is || material["moved.bin"] != material["second.bin"] {
				t.Errorf("materials are %v", material)
			}
			if grants := do("ListGrants", members{"KeyId": arn}).list("Grants"); len(grants) != 0 {
				t.Errorf("grants are %v", grants)
			}
		})
	}
}

// version is what a program says to --version first, as aws-cli/2.9.19.
func version(t testing.TB, program string) string {
	t.Helper()
	out := must(exec.Command(program, "--version").CombinedOutput())(t)
	name, _, _ := strings.Cut(string(out), " ")
	return name
}
