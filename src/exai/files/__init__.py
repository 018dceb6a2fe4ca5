"""Files that enter a prompt: from this machine's disk, within the allowed roots, and from the store."""
