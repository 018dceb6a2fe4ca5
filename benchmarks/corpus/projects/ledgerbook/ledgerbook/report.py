"""Reports over a journal."""

from ledgerbook.money import split, text_of


def balance(chart, journal, account, last="9999-12-31"):
    """Return a balance as people read it: positive on the side where the account grows."""
    raw = journal.raw_balance(account, last)
    return raw if chart.grows_by_debit(account) else -raw


def trial_balance(chart, journal):
    """Return lines `name amount`, and refuse a book that does not balance."""
    raw = {name: journal.raw_balance(name) for name in chart.names()}
    if sum(raw.values()) != 0:
        raise AssertionError("the book does not balance")
    return [f"{name} {text_of(cents)}" for name, cents in raw.items() if cents]


def profit(chart, journal, first, last):
    """Return income less expenses of a period."""
    total = 0
    for entry in journal.entries(first, last):
        for line in entry.lines:
            if chart.kind_of(line.account) in ("income", "expense"):
                total -= line.cents
    return total


def shares(chart, journal, account, partners):
    """Divide a balance among partners, in their order."""
    parts = split(balance(chart, journal, account), len(partners))
    return dict(zip(partners, parts, strict=True))
