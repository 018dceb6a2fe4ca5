"""Tables of calls: the journal, calls under an idempotency key, usage."""
