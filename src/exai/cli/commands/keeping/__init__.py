"""Commands about all that is kept."""
