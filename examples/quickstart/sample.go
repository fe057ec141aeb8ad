package main

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"
)

// sampleLen is the length of the sample file: 4 MiB and a little, so that its last chunk is a short one.
const sampleLen = 4<<20 + 1234

// makeSample makes a file of text at path, the same in every run, unless there is one.
func makeSample(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return replaceFile(path, func(w io.Writer) error {
		_, err := io.WriteString(w, sampleText(sampleLen))
		return err
	})
}

// sampleText returns n bytes of lines of words. There is nothing secret about it: its generator has a fixed seed.
func sampleText(n int) string {
	words := strings.Fields("amber basin cedar delta ember fjord grove heath inlet juniper kelp ledge marsh nectar orchard prairie quarry ridge summit tundra")
	random := rand.New(rand.NewPCG(1, 2))
	var text strings.Builder
	for text.Len() < n {
		text.WriteString(words[random.IntN(len(words))])
		if random.IntN(12) == 0 {
			text.WriteByte('\n')
		} else {
			text.WriteByte(' ')
		}
	}
	return text.String()[:n]
}
