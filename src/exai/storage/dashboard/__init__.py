"""What pages for people read: bounded in time, and beside all other reads."""
