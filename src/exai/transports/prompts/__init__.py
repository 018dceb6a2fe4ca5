"""Prompts of MCP, which clients show their users as commands, and what completes their arguments."""
