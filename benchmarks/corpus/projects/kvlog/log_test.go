package kvlog

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func open(t *testing.T, path string) *Log {
	t.Helper()
	log, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func TestValuesOutliveTheProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	log := open(t, path)
	log.Put("b", []byte("2"))
	log.Put("a", []byte("1"))
	log.Put("a", []byte{})
	log.Put("c", []byte("3"))
	log.Delete("c")
	log.Delete("none")
	log.Close()
	log = open(t, path)
	if got := log.Keys(); !reflect.DeepEqual(got, []string{"a", "b"}) {
		t.Fatalf("got %v", got)
	}
	if value, known := log.Get("a"); !known || len(value) != 0 {
		t.Fatal("an empty value is a value")
	}
	if log.waste != 3 {
		t.Fatalf("waste %d", log.waste)
	}
}

func TestACutRecordIsRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	log := open(t, path)
	log.Put("a", []byte("1"))
	log.Put("b", []byte("2"))
	log.Close()
	data, _ := os.ReadFile(path)
	os.WriteFile(path, data[:len(data)-1], 0o600)
	log = open(t, path)
	log.Put("c", []byte("3"))
	log.Close()
	if got := open(t, path).Keys(); !reflect.DeepEqual(got, []string{"a", "c"}) {
		t.Fatalf("got %v", got)
	}
	data[headerSize] ^= 1
	os.WriteFile(path, data, 0o600)
	if _, err := Open(path); !errors.Is(err, ErrDamaged) {
		t.Fatalf("got %v", err)
	}
}

func TestCompactKeepsWhatCounts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	log := open(t, path)
	for i := 0; i < 10; i++ {
		log.Put("a", []byte{byte(i)})
	}
	before, _ := os.Stat(path)
	if err := log.Compact(); err != nil {
		t.Fatal(err)
	}
	after, _ := os.Stat(path)
	if after.Size()*10 != before.Size() {
		t.Fatalf("%d of %d", after.Size(), before.Size())
	}
	log.Put("b", []byte("2"))
	log.Close()
	if got := open(t, path).Keys(); !reflect.DeepEqual(got, []string{"a", "b"}) {
		t.Fatalf("got %v", got)
	}
}

func TestValuesAreCopies(t *testing.T) {
	log := open(t, filepath.Join(t.TempDir(), "log"))
	value := []byte("1")
	log.Put("a", value)
	value[0] = '2'
	got, _ := log.Get("a")
	got[0] = '3'
	if again, _ := log.Get("a"); string(again) != "1" {
		t.Fatalf("got %s", again)
	}
}
