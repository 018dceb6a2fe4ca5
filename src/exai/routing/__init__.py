"""Which model is asked and how: choice, permits, circuit breakers, retries, fallback, tool loops."""
