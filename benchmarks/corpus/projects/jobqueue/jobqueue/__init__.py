"""Jobs in SQLite that are tried again after a pause."""
