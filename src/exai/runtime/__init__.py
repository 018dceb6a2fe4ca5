"""What every package builds on: clocks, tasks, background duties, stop requests, locks and private files."""
