"""What `scripts/check` looks for and no tool at hand does."""
