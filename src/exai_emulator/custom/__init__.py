"""A plain OpenAI-compatible service, at `/v1`: what a user's own endpoint looks like."""
