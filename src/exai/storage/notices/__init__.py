"""Rows of what is told to others by webhooks."""
