"""Patches that models write: read, and applied in memory to the files of a workspace. Nothing is written."""
