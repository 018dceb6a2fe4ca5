package ratelimit

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func TestBucketRefills(t *testing.T) {
	start := time.Unix(1000, 0)
	bucket := NewBucket(2, 0.5, start)
	for i := 0; i < 2; i++ {
		if ok, _ := bucket.Take(1, start); !ok {
			t.Fatal("a full bucket gives its tokens")
		}
	}
	if ok, wait := bucket.Take(1, start); ok || wait != 2*time.Second {
		t.Fatalf("got %v %v", ok, wait)
	}
	if ok, _ := bucket.Take(1, start.Add(2*time.Second)); !ok {
		t.Fatal("a token is back")
	}
	if !bucket.IsFull(start.Add(time.Hour)) {
		t.Fatal("it fills up")
	}
}

func TestLimiterForgetsWhoIsQuiet(t *testing.T) {
	c := &clock{time.Unix(1000, 0)}
	limiter := New(1, 1, 2, c.now)
	for _, caller := range []string{"a", "b"} {
		if ok, _, err := limiter.Allow(caller); !ok || err != nil {
			t.Fatal(caller)
		}
	}
	if _, _, err := limiter.Allow("c"); !errors.Is(err, ErrTooMany) {
		t.Fatal("no place for a third")
	}
	c.at = c.at.Add(time.Second)
	if ok, _, err := limiter.Allow("c"); !ok || err != nil || limiter.Callers() != 1 {
		t.Fatal("quiet callers are forgotten")
	}
}

func TestMiddleware(t *testing.T) {
	c := &clock{time.Unix(1000, 0)}
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })
	handler := Middleware(New(1, 0.4, 10, c.now), map[string]bool{"10.0.0.1": true}, next)
	ask := func(remote, forwarded string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = remote
		if forwarded != "" {
			r.Header.Set("X-Forwarded-For", forwarded)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w
	}
	if ask("9.9.9.9:1", "1.1.1.1").Code != 204 || ask("9.9.9.9:2", "2.2.2.2").Code != 429 {
		t.Fatal("a stranger's header does not count")
	}
	if got := ask("9.9.9.9:3", "").Header().Get("Retry-After"); got != "3" {
		t.Fatalf("got %q", got)
	}
	if ask("10.0.0.1:1", "x, 3.3.3.3").Code != 204 || ask("10.0.0.1:1", "y, 3.3.3.3").Code != 429 {
		t.Fatal("the proxy's own entry counts")
	}
}
