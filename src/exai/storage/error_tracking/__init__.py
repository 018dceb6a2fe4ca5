"""The tables of faults, and what is derived from calls to judge them by."""
