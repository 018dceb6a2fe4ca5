"""Which processes are on a database: a row and a beat of each, and what one of them does for all."""
