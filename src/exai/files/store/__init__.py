"""The store: contents by their SHA-256, and the files of owners."""
