package bolt

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"

	"go.etcd.io/bbolt"
)

// create makes an empty store at path. It is made under another name and then linked, so that no crash leaves a part of it under path, and no other process's new
// store is replaced: where two create at the same time, both open the first. The file system must know hard links. A crash may leave a file .NAME.new-NUMBER
// behind, which nobody reads.
func create(path string) (err error) {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(path)+".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(tmp.Name())) }()
	if err := tmp.Close(); err != nil {
		return err
	}
	if err := fill(tmp.Name()); err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), path); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return syncDir(dir)
}

// fill writes an empty store into an empty file and syncs it.
func fill(path string) error {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType, NoStatistics: true})
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		header, err := tx.CreateBucket([]byte(headerBucket))
		if err != nil {
			return err
		}
		records, err := tx.CreateBucket([]byte(recordsBucket))
		if err != nil {
			return err
		}
		return errors.Join(
			header.Put([]byte(formatName), encodeFrame(formatName, 0, []byte(format))),
			header.Put([]byte(revisionName), encodeFrame(revisionName, 0, nil)),
			records.Put([]byte(firstFence), encodeFrame(firstFence, 0, nil)),
			records.Put([]byte(lastFence), encodeFrame(lastFence, 0, nil)),
		)
	})
	return errors.Join(err, db.Close())
}

// syncDir makes the entry of a new file durable. Windows has no such thing.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
