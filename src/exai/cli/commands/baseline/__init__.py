"""The commands of `exai baseline`."""
