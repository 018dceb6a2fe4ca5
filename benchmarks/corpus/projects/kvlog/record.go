package kvlog

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// A record is: checksum (4 bytes), length of the key (4), length of the value plus one (4), key, value.
// A length of 0 for the value says that the key was deleted.
const headerSize = 12

// ErrDamaged says that a record is not what was written.
var ErrDamaged = errors.New("kvlog: damaged record")

// ErrShort says that a record is cut.
var ErrShort = errors.New("kvlog: short record")

func encode(key string, value []byte, deleted bool) []byte {
	size := uint32(0)
	if !deleted {
		size = uint32(len(value)) + 1
	}
	record := make([]byte, headerSize, headerSize+len(key)+len(value))
	binary.BigEndian.PutUint32(record[4:], uint32(len(key)))
	binary.BigEndian.PutUint32(record[8:], size)
	record = append(record, key...)
	record = append(record, value...)
	binary.BigEndian.PutUint32(record, crc32.ChecksumIEEE(record[4:]))
	return record
}

func decode(data []byte) (key string, value []byte, deleted bool, size int, err error) {
	if len(data) < headerSize {
		return "", nil, false, 0, ErrShort
	}
	keySize := uint64(binary.BigEndian.Uint32(data[4:]))
	valueSize := uint64(binary.BigEndian.Uint32(data[8:]))
	deleted = valueSize == 0
	if !deleted {
		valueSize--
	}
	total := headerSize + keySize + valueSize
	if uint64(len(data)) < total {
		return "", nil, false, 0, ErrShort
	}
	if crc32.ChecksumIEEE(data[4:total]) != binary.BigEndian.Uint32(data) {
		return "", nil, false, 0, ErrDamaged
	}
	key = string(data[headerSize : headerSize+keySize])
	value = append([]byte(nil), data[headerSize+keySize:total]...)
	return key, value, deleted, int(total), nil
}
