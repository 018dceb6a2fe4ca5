"""The database: one schema, two dialects."""
