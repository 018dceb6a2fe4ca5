"""Entries are posted whole or not at all, and every one of them balances."""

from dataclasses import dataclass


class Unbalanced(ValueError):
    """Debits and credits that differ."""


@dataclass(frozen=True)
class Line:
    """One side of an entry; a debit is positive, a credit negative."""

    account: str
    cents: int


@dataclass(frozen=True)
class Entry:
    """A dated entry."""

    day: str
    text: str
    lines: tuple


class Journal:
    """The entries of a book in the order of posting."""

    def __init__(self, chart):
        self._chart = chart
        self._entries = []

    def post(self, day, text, lines):
        """Add an entry of at least two lines whose sum is zero."""
        lines = tuple(lines)
        if len(lines) < 2:
            raise Unbalanced("an entry has at least two lines")
        if sum(line.cents for line in lines) != 0:
            raise Unbalanced(f"{text}: debits and credits differ")
        for line in lines:
            if not self._chart.takes_entries(line.account):
                raise ValueError(f"closed: {line.account}")
        entry = Entry(day, text, lines)
        self._entries.append(entry)
        return entry

    def reverse(self, entry, day):
        """Post the opposite of an entry."""
        lines = [Line(line.account, -line.cents) for line in entry.lines]
        return self.post(day, f"reversal: {entry.text}", lines)

    def entries(self, first="", last="9999-12-31"):
        """Return the entries between two days, both included."""
        return [entry for entry in self._entries if first <= entry.day <= last]

    def raw_balance(self, account, last="9999-12-31"):
        """Return debits less credits of an account up to a day."""
        self._chart.kind_of(account)
        return sum(
            line.cents for entry in self.entries(last=last) for line in entry.lines if line.account == account
        )
