"""Explaining code from evidence of a workspace."""
