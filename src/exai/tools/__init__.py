"""What an agent can call: one file per tool."""
