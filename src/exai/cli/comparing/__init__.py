"""Comparing models through a running daemon: a plan, calls in randomised blocks, paired statistics."""
