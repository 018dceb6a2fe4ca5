"""Callers as values of a metric's label: a bounded number, however many callers there are."""

__all__ = ["MOST_CALLERS", "OTHERS", "CallerLabels"]

MOST_CALLERS = 100
OTHERS = "(others)"


class CallerLabels:
    """Gives the first callers since the start a label of their own; the rest share one.

    What each of the rest used is in the journal: `exai usage`.
    """

    def __init__(self, most: int = MOST_CALLERS) -> None:
        self._most = most
        self._known: set[str] = set()

    def of(self, subject: str) -> str:
        """Return the label of a caller, the same for as long as the process lives."""
        if subject in self._known:
            return subject
        if len(self._known) >= self._most:
            return OTHERS
        self._known.add(subject)
        return subject
