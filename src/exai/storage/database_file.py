"""The file that SQLite keeps in the data folder, for who asks only whether it is there."""

__all__ = ["FILE_NAME"]

FILE_NAME = "exai.sqlite"
