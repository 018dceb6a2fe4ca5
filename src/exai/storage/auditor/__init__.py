"""Rows of the auditor: windows of numbers, and what was observed in them."""
