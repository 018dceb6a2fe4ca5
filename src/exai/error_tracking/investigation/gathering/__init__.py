"""Gathers the evidence on a group: from rows, from what the process remembers, and from sources handed in."""
