package ratelimit

import (
	"errors"
	"sync"
	"time"
)

// ErrTooMany says that no further caller can be watched.
var ErrTooMany = errors.New("ratelimit: too many callers")

// Limiter has a bucket for each caller.
type Limiter struct {
	mu      sync.Mutex
	buckets map[string]*Bucket
	burst   float64
	perSec  float64
	most    int
	now     func() time.Time
}

// New returns a limiter for at most `most` callers at a time.
func New(burst, perSec float64, most int, now func() time.Time) *Limiter {
	return &Limiter{buckets: map[string]*Bucket{}, burst: burst, perSec: perSec, most: most, now: now}
}

// Allow takes one token of a caller's bucket.
func (l *Limiter) Allow(caller string) (bool, time.Duration, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	bucket, known := l.buckets[caller]
	if !known {
		if len(l.buckets) >= l.most {
			l.sweep(now)
		}
		if len(l.buckets) >= l.most {
			return false, 0, ErrTooMany
		}
		bucket = NewBucket(l.burst, l.perSec, now)
		l.buckets[caller] = bucket
	}
	ok, wait := bucket.Take(1, now)
	return ok, wait, nil
}

// sweep forgets callers whose buckets are full. The caller holds the lock.
func (l *Limiter) sweep(now time.Time) {
	for caller, bucket := range l.buckets {
		if bucket.IsFull(now) {
			delete(l.buckets, caller)
		}
	}
}

// Callers returns how many callers are watched.
func (l *Limiter) Callers() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.buckets)
}
