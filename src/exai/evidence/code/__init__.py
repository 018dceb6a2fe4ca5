"""Source text by its syntax: parts with names, what they call, where comments are."""
