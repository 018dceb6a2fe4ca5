"""Asking the user, through the client, before a call spends more than is spent unasked."""
