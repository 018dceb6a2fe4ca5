"""The tool by which callers handle their conversations."""
