"""The tool that has patches written."""
