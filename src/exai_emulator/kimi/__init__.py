"""Kimi as Moonshot AI serves it, at `/v1`."""
