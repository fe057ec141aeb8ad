package main

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
)

// A disk is a volume that is open: it holds the volume's data key, as a cipher, for as long as its host runs.
type disk struct {
	volume *volume
	aead   cipher.AEAD
}

func openDisk(v *volume, dataKey []byte) (*disk, error) {
	block, err := aes.NewCipher(dataKey)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &disk{v, aead}, nil
}

// place binds a block to its number: one that was moved does not open. An older block of the same number does.
func place(number uint64) []byte { return binary.BigEndian.AppendUint64(nil, number) }

// write keeps a block. Its nonce is random, and with at most 2^32 writes under one key two are the same with a chance below 2^-32: whoever writes more to one volume
// derives a key for each part of it.
func (d *disk) write(number uint64, block []byte) {
	d.volume.blocks[number] = d.aead.Seal(nil, nil, block, place(number))
}

var errBlock = errors.New("the block was changed, moved or never written, or is of another volume")

// read returns a block.
func (d *disk) read(number uint64) ([]byte, error) {
	block, err := d.aead.Open(nil, nil, d.volume.blocks[number], place(number))
	if err != nil {
		return nil, errBlock
	}
	return block, nil
}
