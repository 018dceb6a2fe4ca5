"""A cache in a JSON file, which is replaced whole."""

import json
import os
from pathlib import Path


class DamagedStore(Exception):
    """A file that holds no cache."""


class Store:
    """The file of one cache."""

    def __init__(self, path):
        self._path = Path(path)

    def save(self, cache):
        """Write the entries of a cache; what was there stays until the new file is whole."""
        part = self._path.with_suffix(".part")
        with part.open("w", encoding="utf-8") as file:
            json.dump(cache.items(), file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._path)

    def load_into(self, cache):
        """Put what the file holds into a cache; return the number of entries. No file is no entries."""
        try:
            pairs = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return 0
        except ValueError as error:
            raise DamagedStore(str(self._path)) from error
        for key, value in pairs:
            cache.put(key, value)
        return len(pairs)
