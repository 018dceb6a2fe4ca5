"""How many bytes are held at once, by each subject and by all, within a bound for each and for all.

What is beyond is refused at once, not queued: whoever waits holds bytes as well. What a subject holds alone is never
too much for it, nor the only bytes of all for everybody; so a bound below the largest single thing stops nobody.
"""

from typing import Self

__all__ = ["BytesInFlight", "Share"]


class BytesInFlight:
    """Counts what shares hold."""

    def __init__(self, most: int, most_per_subject: int, *, of_what: str) -> None:
        """`of_what` says in refusals what is held, such as "arguments"."""
        self._most = most
        self._most_per_subject = most_per_subject
        self._of_what = of_what
        self._by_subject: dict[str, int] = {}
        self.total = 0

    def share(self, subject: str) -> "Share":
        """Begin to hold something for a subject; it is a scope, and empty at first."""
        return Share(self, subject)

    def too_much(self, subject: str, held: int, size: int) -> str | None:
        """Return why a share that has `held` bytes may not have `size`; `None` where it may."""
        others = self._by_subject.get(subject, 0) - held
        if others and others + size > self._most_per_subject:
            return (
                f"yours have {others / 2**20:.1f} MiB of {self._of_what} under way (admission.caller_bytes)"
            )
        others = self.total - held
        if others and others + size > self._most:
            return f"all have {others / 2**20:.1f} MiB of {self._of_what} under way (admission.global_bytes)"
        return None

    def change(self, subject: str, by: int) -> None:
        """Count so many bytes more, or fewer."""
        self.total += by
        own = self._by_subject.get(subject, 0) + by
        if own:
            self._by_subject[subject] = own
        else:
            del self._by_subject[subject]


class Share:
    """What one call, message or body holds."""

    __slots__ = ("_counts", "_subject", "size")

    def __init__(self, counts: BytesInFlight, subject: str) -> None:
        self._counts = counts
        self._subject = subject
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.size:
            self.release()

    def resize(self, size: int) -> str | None:
        """Hold `size` bytes from now on; returns the reason where that is too much, and then nothing changes."""
        why = self._counts.too_much(self._subject, self.size, size) if size > self.size else None
        if why is None and size != self.size:
            self._counts.change(self._subject, size - self.size)
            self.size = size
        return why

    def release(self) -> None:
        """Hold nothing any more."""
        if self.size:
            self._counts.change(self._subject, -self.size)
            self.size = 0
