"""Pictures: where they come from, what they are, and how they are made ready for a model."""
