"""Commands of `exai auditor`."""
