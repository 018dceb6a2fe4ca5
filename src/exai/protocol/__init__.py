"""What daemon and client share: JSON-RPC messages, resumable sessions, idempotency keys. No sockets."""
