"""Files of this machine that enter a prompt, within the allowed roots."""

from exai.files.paths.reader import FileReader

__all__ = ["FileReader"]
