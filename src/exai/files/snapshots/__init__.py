"""Snapshots: folders as they were, each a list of paths and contents."""
