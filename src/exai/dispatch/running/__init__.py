"""The calls that run: what they do, and how they are ended from outside."""
