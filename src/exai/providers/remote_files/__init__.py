"""Copies of contents in the providers' own file stores."""
