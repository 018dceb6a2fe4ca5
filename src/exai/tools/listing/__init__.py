"""The lists of tools that clients are shown."""
