"""The commands of tokens and signing keys."""
