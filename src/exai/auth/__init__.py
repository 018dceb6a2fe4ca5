"""Identity: who a caller is, what it proved that with, and what it may do."""
