package keyfile

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
)

const (
	prefix      = "claviger-root-1:"
	checksumLen = 4
	bodyLen     = (keyLen + checksumLen) / 3 * 4 // in base64, without padding since 36 is a multiple of 3
	textLen     = len(prefix) + bodyLen
)

var (
	errPrefix   = errors.New("not a claviger-root-1 key")
	errLength   = errors.New("key is cut short or continues after its end")
	errEncoding = errors.New("key is not base64")
	errChecksum = errors.New("checksum does not match: the key is mistyped or damaged")
	errZero     = errors.New("key is all zeros")
)

// encode returns the text of a key, without a line end; the caller clears it.
func encode(key []byte) []byte {
	body := make([]byte, 0, keyLen+checksumLen)
	body = append(append(body, key...), checksum(key)...)
	defer clear(body)
	return base64.StdEncoding.AppendEncode(append(make([]byte, 0, textLen+1), prefix...), body)
}

// decode is the inverse of encode; one line end after the text is passed over. The caller owns the key. Errors say what is wrong, never what was read.
func decode(text []byte) ([]byte, error) {
	if line, ok := bytes.CutSuffix(text, []byte("\n")); ok {
		text = bytes.TrimSuffix(line, []byte("\r"))
	}
	if !bytes.HasPrefix(text, []byte(prefix)) {
		return nil, errPrefix
	}
	if len(text) != textLen {
		return nil, errLength
	}
	body := make([]byte, base64.StdEncoding.DecodedLen(bodyLen))
	defer clear(body)
	n, err := base64.StdEncoding.Decode(body, text[len(prefix):])
	if err != nil || n != keyLen+checksumLen { // fewer bytes: the decoder passes over line ends inside the text
		return nil, errEncoding
	}
	key := body[:keyLen]
	if subtle.ConstantTimeCompare(checksum(key), body[keyLen:]) != 1 {
		return nil, errChecksum
	}
	if subtle.ConstantTimeCompare(key, make([]byte, keyLen)) == 1 {
		return nil, errZero
	}
	return bytes.Clone(key), nil
}

func checksum(key []byte) []byte {
	h := sha256.New()
	h.Write([]byte(prefix))
	h.Write(key)
	return h.Sum(nil)[:checksumLen]
}
