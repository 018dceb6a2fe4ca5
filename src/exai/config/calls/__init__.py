"""Settings of calls: which tools are shown, and what a caller may use."""
