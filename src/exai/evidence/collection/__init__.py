"""What a question needs of a workspace, found by structure and without a model: around a change, around a failure."""
