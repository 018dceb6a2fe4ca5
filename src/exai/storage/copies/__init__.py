"""Copies of a SQLite database: whole ones, and rows in another database."""
