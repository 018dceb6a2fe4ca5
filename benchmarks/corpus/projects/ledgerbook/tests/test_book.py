import unittest

from ledgerbook.accounts import Chart, UnknownAccount
from ledgerbook.journal import Journal, Line, Unbalanced
from ledgerbook.money import MoneyError, parse, split, text_of
from ledgerbook.report import balance, profit, shares, trial_balance


def book():
    chart = Chart()
    for name, kind in (("bank", "asset"), ("sales", "income"), ("rent", "expense"), ("loan", "liability")):
        chart.open(name, kind)
    return chart, Journal(chart)


class MoneyTests(unittest.TestCase):
    def test_parse_and_text(self):
        for text, cents in (("12.50", 1250), ("-0.07", -7), ("7", 700), ("1,000.5", 100050)):
            self.assertEqual(parse(text), cents)
        self.assertEqual(text_of(-7), "-0.07")
        self.assertEqual(text_of(123456), "1234.56")

    def test_bad_amounts(self):
        for text in ("", "1.234", "x", "1.x"):
            with self.assertRaises(MoneyError):
                parse(text)

    def test_split_loses_nothing(self):
        self.assertEqual(split(100, 3), [34, 33, 33])
        self.assertEqual(sum(split(101, 7)), 101)
        with self.assertRaises(MoneyError):
            split(1, 0)


class BookTests(unittest.TestCase):
    def test_balances_by_side(self):
        chart, journal = book()
        journal.post("2026-01-05", "sale", [Line("bank", 5000), Line("sales", -5000)])
        journal.post("2026-02-01", "rent", [Line("rent", 1200), Line("bank", -1200)])
        journal.post("2026-02-03", "loan", [Line("bank", 900), Line("loan", -900)])
        self.assertEqual(balance(chart, journal, "bank"), 4700)
        self.assertEqual(balance(chart, journal, "sales"), 5000)
        self.assertEqual(balance(chart, journal, "loan"), 900)
        self.assertEqual(balance(chart, journal, "bank", "2026-01-31"), 5000)
        self.assertEqual(profit(chart, journal, "2026-01-05", "2026-02-01"), 3800)
        self.assertEqual(profit(chart, journal, "2026-01-06", "2026-01-31"), 0)
        self.assertEqual(trial_balance(chart, journal)[0], "bank 47.00")
        self.assertEqual(shares(chart, journal, "loan", ["a", "b"]), {"a": 450, "b": 450})

    def test_an_entry_balances(self):
        _, journal = book()
        with self.assertRaises(Unbalanced):
            journal.post("2026-01-01", "x", [Line("bank", 1), Line("sales", 1)])
        with self.assertRaises(Unbalanced):
            journal.post("2026-01-01", "x", [Line("bank", 0)])
        self.assertEqual(journal.entries(), [])

    def test_a_reversal_undoes(self):
        chart, journal = book()
        entry = journal.post("2026-01-05", "sale", [Line("bank", 5000), Line("sales", -5000)])
        reversal = journal.reverse(entry, "2026-01-06")
        self.assertEqual(reversal.text, "reversal: sale")
        self.assertEqual(balance(chart, journal, "bank"), 0)

    def test_accounts(self):
        chart, journal = book()
        chart.close("rent")
        with self.assertRaises(ValueError):
            journal.post("2026-01-01", "x", [Line("bank", 1), Line("rent", -1)])
        with self.assertRaises(UnknownAccount):
            journal.raw_balance("nowhere")
        with self.assertRaises(ValueError):
            chart.open("bank", "asset")
        with self.assertRaises(ValueError):
            chart.open("new", "magic")
