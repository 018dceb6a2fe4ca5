"""How long something is waited for."""
