"""What the services do with the content of files: telling kinds apart, and reading their text."""
