"""The chart of accounts: every account has a kind, which decides the side on which it grows."""

DEBIT_KINDS = ("asset", "expense")
CREDIT_KINDS = ("liability", "equity", "income")


class UnknownAccount(KeyError):
    """A name that the chart does not have."""


class Chart:
    """The accounts of one book."""

    def __init__(self):
        self._kinds = {}
        self._closed = set()

    def open(self, name, kind):
        """Add an account."""
        if kind not in DEBIT_KINDS + CREDIT_KINDS:
            raise ValueError(f"unknown kind: {kind}")
        if name in self._kinds:
            raise ValueError(f"already open: {name}")
        self._kinds[name] = kind

    def close(self, name):
        """Let an account take no more entries."""
        self.kind_of(name)
        self._closed.add(name)

    def kind_of(self, name):
        """Return the kind of an account; raises UnknownAccount."""
        try:
            return self._kinds[name]
        except KeyError:
            raise UnknownAccount(name) from None

    def grows_by_debit(self, name):
        """Return whether debits raise the balance."""
        return self.kind_of(name) in DEBIT_KINDS

    def takes_entries(self, name):
        """Return whether entries may be posted; raises UnknownAccount."""
        self.kind_of(name)
        return name not in self._closed

    def names(self):
        """Return the names in alphabetical order."""
        return sorted(self._kinds)
