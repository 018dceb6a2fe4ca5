package ratelimit

import (
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Middleware answers 429 with Retry-After to callers that ask too often.
// The address in X-Forwarded-For counts only when the request comes from a trusted proxy.
func Middleware(limiter *Limiter, trusted map[string]bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ok, wait, err := limiter.Allow(callerOf(r, trusted))
		if err != nil {
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return
		}
		if !ok {
			w.Header().Set("Retry-After", strconv.Itoa(seconds(wait)))
			http.Error(w, "too many requests", http.StatusTooManyRequests)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// seconds rounds up, so that nobody comes back too early.
func seconds(wait time.Duration) int {
	return int(math.Ceil(wait.Seconds()))
}

func callerOf(r *http.Request, trusted map[string]bool) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	forwarded := r.Header.Get("X-Forwarded-For")
	if !trusted[host] || forwarded == "" {
		return host
	}
	parts := strings.Split(forwarded, ",")
	return strings.TrimSpace(parts[len(parts)-1])
}
