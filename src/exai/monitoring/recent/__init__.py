"""What this process remembers of its last minutes, so that a fault can be looked at with what surrounded it."""
