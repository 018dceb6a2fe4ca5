"""What EXAI costs, measured through its own doors. Each module is a command: `scripts/bench NAME`."""
