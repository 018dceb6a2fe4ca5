"""Names and arguments that agents know from other servers, and what they became."""
