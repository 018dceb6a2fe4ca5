"""Answers that are JSON objects: the schema that a request asks for, and what is said by it."""
