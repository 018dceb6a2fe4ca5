"""What `exai usage` shows beside the table of callers and models."""
