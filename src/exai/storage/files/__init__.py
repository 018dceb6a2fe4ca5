"""Tables of stored files: contents, files of owners, references, reservations."""
