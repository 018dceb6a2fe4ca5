package kvlog

import (
	"errors"
	"os"
	"path/filepath"
	"sort"
	"sync"
)

// Log keeps the latest value of every key.
type Log struct {
	mu     sync.RWMutex
	path   string
	file   *os.File
	values map[string][]byte
	waste  int
}

// Open reads a log, or begins one. What a crash cut off at the end is removed; damage elsewhere is an error.
func Open(path string) (*Log, error) {
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	log := &Log{path: path, values: map[string][]byte{}}
	whole := 0
	for whole < len(data) {
		key, value, deleted, size, err := decode(data[whole:])
		if errors.Is(err, ErrShort) {
			break
		}
		if err != nil {
			return nil, err
		}
		log.remember(key, value, deleted)
		whole += size
	}
	log.file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := log.file.Truncate(int64(whole)); err != nil {
		log.file.Close()
		return nil, err
	}
	if _, err := log.file.Seek(int64(whole), 0); err != nil {
		log.file.Close()
		return nil, err
	}
	return log, nil
}

func (l *Log) remember(key string, value []byte, deleted bool) {
	if _, known := l.values[key]; known || deleted {
		l.waste++
	}
	if deleted {
		delete(l.values, key)
		return
	}
	l.values[key] = value
}

// Put sets a value. It is on disk when Put returns.
func (l *Log) Put(key string, value []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.append(key, append([]byte(nil), value...), false)
}

// Delete removes a key; one that is not there costs nothing.
func (l *Log) Delete(key string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.values[key]; !known {
		return nil
	}
	return l.append(key, nil, true)
}

func (l *Log) append(key string, value []byte, deleted bool) error {
	if _, err := l.file.Write(encode(key, value, deleted)); err != nil {
		return err
	}
	if err := l.file.Sync(); err != nil {
		return err
	}
	l.remember(key, value, deleted)
	return nil
}

// Get returns a copy of a value.
func (l *Log) Get(key string) ([]byte, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	value, known := l.values[key]
	return append([]byte(nil), value...), known
}

// Keys returns the keys in order.
func (l *Log) Keys() []string {
	l.mu.RLock()
	defer l.mu.RUnlock()
	keys := make([]string, 0, len(l.values))
	for key := range l.values {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}

// Compact writes the log anew without what is outdated.
func (l *Log) Compact() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	part, err := os.CreateTemp(filepath.Dir(l.path), ".compact-*")
	if err != nil {
		return err
	}
	for key, value := range l.values {
		if _, err := part.Write(encode(key, value, false)); err != nil {
			part.Close()
			os.Remove(part.Name())
			return err
		}
	}
	if err := part.Sync(); err != nil {
		part.Close()
		os.Remove(part.Name())
		return err
	}
	if err := os.Rename(part.Name(), l.path); err != nil {
		part.Close()
		os.Remove(part.Name())
		return err
	}
	l.file.Close()
	l.file = part
	l.waste = 0
	return nil
}

// Close ends the use of the file.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Close()
}
