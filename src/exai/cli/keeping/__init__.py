"""Backups of a SQLite installation, and putting one back."""
