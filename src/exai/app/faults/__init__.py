"""Builds what watches over faults."""
