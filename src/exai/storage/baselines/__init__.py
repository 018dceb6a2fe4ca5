"""Rows from which it is told how fast EXAI was: rollups of hours, and baselines with their reports."""
