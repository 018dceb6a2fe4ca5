"""Reports of other programs: read without I/O, bounded, and stripped of what is private at the door."""
