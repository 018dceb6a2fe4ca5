package ratelimit

import "time"

// Bucket holds tokens that come back with time. It is not safe for several goroutines; Limiter guards it.
type Bucket struct {
	capacity float64
	perSec   float64
	tokens   float64
	last     time.Time
}

// NewBucket returns a full bucket.
func NewBucket(capacity, perSec float64, now time.Time) *Bucket {
	return &Bucket{capacity: capacity, perSec: perSec, tokens: capacity, last: now}
}

func (b *Bucket) refill(now time.Time) {
	elapsed := now.Sub(b.last).Seconds()
	if elapsed <= 0 {
		return
	}
	b.tokens = min(b.capacity, b.tokens+elapsed*b.perSec)
	b.last = now
}

// Take takes n tokens; when there are too few, it takes none and returns how long to wait.
func (b *Bucket) Take(n float64, now time.Time) (bool, time.Duration) {
	b.refill(now)
	if b.tokens >= n {
		b.tokens -= n
		return true, 0
	}
	missing := n - b.tokens
	return false, time.Duration(missing / b.perSec * float64(time.Second))
}

// IsFull tells whether nothing would be lost if the bucket were made anew.
func (b *Bucket) IsFull(now time.Time) bool {
	b.refill(now)
	return b.tokens >= b.capacity
}
