//go:build !race

package kms

import (
	"bytes"
	"runtime"
	"testing"
	"time"
)

const underRace = false

// TestMaterialIsWiped: when nothing refers to a key's material any more, its bytes go.
func TestMaterialIsWiped(t *testing.T) {
	// The cleanup runs on a goroutine of the runtime, with which a test cannot synchronize: the race detector would not have it.
	raw := bytes.Repeat([]byte{0x5a}, 32)
	wiped := func() bool { return isZero(raw) }
	m, err := newMaterial(SymmetricDefault.specification(), keyID{}, 1, raw)
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	if wiped() {
		t.Error("wiped while in use")
	}
	runtime.KeepAlive(m)
	m = nil
	for range 100 {
		runtime.GC()
		if wiped() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Error("not wiped")
}
