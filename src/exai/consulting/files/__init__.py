"""What a model is shown of files: gathered from paths, folders and handles, and fitted to its window."""
