"""The process' own ground: clocks, tasks, stop requests, locks and private files."""
