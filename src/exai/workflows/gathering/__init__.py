"""What is gathered for a run: rows of evidence, each of which an answer can cite."""
