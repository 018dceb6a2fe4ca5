"""Faults: recorded from every place that sees one, grouped by a fixed rule, counted exactly, and decided by people."""
