"""What the commands of `exai files` share: how the store is reached, and how files are shown."""
