"""The HTTP door of stored files."""
