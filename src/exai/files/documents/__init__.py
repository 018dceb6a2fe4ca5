"""The text of stored files: of documents it is extracted in a process of its own, and any text is read by lines."""
