module example.invalid/ratelimit

go 1.22
