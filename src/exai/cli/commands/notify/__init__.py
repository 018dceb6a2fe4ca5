"""`exai notify`: what is told to others by webhooks."""
