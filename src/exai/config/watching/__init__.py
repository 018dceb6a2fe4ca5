"""Settings of how EXAI watches itself."""
