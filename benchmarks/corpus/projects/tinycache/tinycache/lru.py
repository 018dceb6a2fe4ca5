"""The least recently used entry goes first; an entry that is too old is none."""

from collections import OrderedDict
from threading import RLock


class LruCache:
    """At most `size` entries, each for `ttl` seconds of the given clock."""

    def __init__(self, size, ttl, clock):
        if size < 1:
            raise ValueError("a cache holds at least one entry")
        self._size = size
        self._ttl = ttl
        self._clock = clock
        self._lock = RLock()
        self._entries = OrderedDict()
        self.hits = 0
        self.misses = 0

    def get(self, key, default=None):
        """Return a value that is young enough, and make it the most recent."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or self._is_old(entry):
                self._entries.pop(key, None)
                self.misses += 1
                return default
            self._entries.move_to_end(key)
            self.hits += 1
            return entry[0]

    def put(self, key, value):
        """Set a value, and let the least recent one go when there are too many."""
        with self._lock:
            self._entries[key] = (value, self._clock())
            self._entries.move_to_end(key)
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)

    def get_or_make(self, key, make):
        """Return a value, made once however many ask at the same time."""
        missing = object()
        with self._lock:
            value = self.get(key, missing)
            if value is missing:
                value = make(key)
                self.put(key, value)
            return value

    def purge(self):
        """Remove what is too old; return how much that was."""
        with self._lock:
            old = [key for key, entry in self._entries.items() if self._is_old(entry)]
            for key in old:
                del self._entries[key]
            return len(old)

    def items(self):
        """Return the keys and values that are young enough, the least recent first."""
        with self._lock:
            return [(key, entry[0]) for key, entry in self._entries.items() if not self._is_old(entry)]

    def __len__(self):
        return len(self._entries)

    def _is_old(self, entry):
        return self._clock() - entry[1] >= self._ttl
