"""Calls of the journal over HTTP: found, listed, exported, and one of them whole."""
