"""What a process does at its start, for the sake of time and memory."""
