"""Conversations by handle, and how many tokens their texts have."""
