"""Measures the process by its events: metrics, running calls, open connections, provider health; and its log."""
