"""What every room stands on: clocks, tasks, background duties, stop requests, locks and private files."""
