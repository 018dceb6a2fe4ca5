"""Tells others by signed webhooks."""
