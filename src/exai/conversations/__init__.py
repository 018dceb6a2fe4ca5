"""Conversations by handle, and token counts of texts."""
