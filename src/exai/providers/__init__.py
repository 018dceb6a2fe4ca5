"""Models and who serves them: catalogue, adapters, routing."""
