package passphrase

import (
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	version = 1
	saltLen = 16

	// Where the parts of a wrap begin.
	atMemory     = 1
	atTime       = 5
	atThreads    = 9
	atSalt       = 10
	atCommitment = atSalt + saltLen
	atNonce      = atCommitment + commitmentLen
	overhead     = atNonce + 12 + 16

	defaultMemory    = 64 << 10 // KiB, as every memory here
	defaultTime      = 3
	defaultThreads   = 4
	defaultMaxMemory = 256 << 10
	floorMemory      = 7 << 10
	ceilingMemory    = 2 << 20
	maxTime          = 32
	maxThreads       = 64 // Argon2 needs 8 KiB a lane, far below the floor
)

// params are the public inputs of a derivation.
type params struct {
	memory  uint32 // KiB
	time    uint32
	threads uint8
	salt    [saltLen]byte
}

// check bounds the parameters: upwards because a store could else make the process run out of memory or never return, downwards because less protects no
// passphrase and is most often a slip (MiB for KiB).
func (p params) check(maxMemory uint32) error {
	if p.memory < floorMemory {
		return fmt.Errorf("memory is below %d KiB", floorMemory)
	}
	if p.memory > maxMemory {
		return fmt.Errorf("memory is above the %d KiB that Options.MaxMemory allows", maxMemory)
	}
	if p.time < 1 || p.time > maxTime {
		return fmt.Errorf("time is not between 1 and %d passes", maxTime)
	}
	if p.threads < 1 || p.threads > maxThreads {
		return errors.New("threads are not between 1 and 64")
	}
	return nil
}

// append writes the version and the parameters.
func (p params) append(wrap []byte) []byte {
	wrap = append(wrap, version)
	wrap = binary.BigEndian.AppendUint32(wrap, p.memory)
	wrap = binary.BigEndian.AppendUint32(wrap, p.time)
	wrap = append(wrap, p.threads)
	return append(wrap, p.salt[:]...)
}

// parseParams reads the parameters of a wrap of at least overhead bytes; they are not checked.
func parseParams(wrap []byte) params {
	return params{
		memory:  binary.BigEndian.Uint32(wrap[atMemory:]),
		time:    binary.BigEndian.Uint32(wrap[atTime:]),
		threads: wrap[atThreads],
		salt:    [saltLen]byte(wrap[atSalt:]),
	}
}
