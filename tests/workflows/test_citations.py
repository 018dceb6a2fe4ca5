"""Citations: corrected where the text exists, and never called verified where it does not."""

import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exai.workflows.citations import CheckedCitation, Citation, ShownFile, check, shown_lines
from support.citations import LIES, Lie, lies

POOL = """def acquire(self):
    conn = self._open()
    if conn is None:
        raise PoolEmpty
    return conn


def release(self, conn):
    conn.close()
    return conn
"""
CACHE = "class Cache:\n    def evict_oldest(self):\n        self._entries.popitem(last=False)\n"


def numbered(text: str, first: int = 1) -> list[tuple[int, str]]:
    return list(enumerate(text.splitlines(), first))


def shown(now: str | None = None) -> list[ShownFile]:
    return [
        ShownFile(["E1"], "/repo/src/pool.py", numbered(POOL), now),
        ShownFile(["E2"], "/repo/src/cache.py", numbered(CACHE)),
    ]


def of(
    path: str, lines: str = "", quote: str = "", sentence: str = "", now: str | None = None
) -> CheckedCitation:
    first, _, last = lines.partition("-")
    return check(
        Citation(path, int(first) if first else None, int(last or first) if first else None, quote, sentence),
        shown(now),
    )


@pytest.mark.parametrize(
    ("citation", "state", "place"),
    [
        (("E1", "2", "conn = self._open()"), "verified", ("/repo/src/pool.py", 2, 2)),
        (("/repo/src/pool.py", "1-5", "conn = self._open()"), "verified", ("/repo/src/pool.py", 1, 5)),
        (("src/pool.py", "2", "   2│    conn = self._open()"), "verified", ("/repo/src/pool.py", 2, 2)),
        (
            ("pool.py", "2", "```python\n    conn = self._open()  \r\n```"),
            "verified",
            ("/repo/src/pool.py", 2, 2),
        ),
        (("E1", "", "conn = self._open()"), "verified", ("/repo/src/pool.py", 2, 2)),
        (("E1", "2-4", "conn = self._open() … raise PoolEmpty"), "verified", ("/repo/src/pool.py", 2, 4)),
        (("E1", "3", "if conn is None:\n        raise PoolEmpty"), "verified", ("/repo/src/pool.py", 3, 3)),
        (("E1", "2", "conn=self._open( )"), "verified", ("/repo/src/pool.py", 2, 2)),
        (("E1", "7", "conn = self._open()"), "moved", ("/repo/src/pool.py", 2, 2)),
        (("E1", "9", "return conn"), "moved", ("/repo/src/pool.py", 10, 10)),
        (("E1", "", "return conn"), "ambiguous", ("/repo/src/pool.py", None, None)),
        (("E1", "2", "def evict_oldest(self):"), "wrong_file", ("/repo/src/cache.py", 2, 2)),
        (("nowhere.py", "2", "def evict_oldest(self):"), "wrong_file", ("/repo/src/cache.py", 2, 2)),
        (("E1", "8", "def releases(self, conn):"), "near", ("/repo/src/pool.py", 8, 8)),
        (("E1", "2", "conn = self._close_everything()"), "unverified", ("/repo/src/pool.py", 2, 2)),
        (("E1", "4", "raise PoolEm"), "unverified", ("/repo/src/pool.py", 4, 4)),
        (("E1", "9", "conn.close() … self._entries"), "unverified", ("/repo/src/pool.py", 9, 9)),
        (("nowhere.py", "2", "conn = nothing_at_all"), "unknown_file", ("nowhere.py", 2, 2)),
        (("nowhere.py", "2", ""), "unknown_file", ("nowhere.py", 2, 2)),
        (("E1", "2", "}"), "unverified", ("/repo/src/pool.py", 2, 2)),
        (("E1", "", ""), "unverified", ("/repo/src/pool.py", None, None)),
        (("E1", "99", "", "`release` leaks"), "unverified", ("/repo/src/pool.py", 99, 99)),
        (("E1", "9", "", "`release` leaks"), "plausible", ("/repo/src/pool.py", 9, 9)),
        (("E1", "2", "", "evict_oldest() leaks"), "unverified", ("/repo/src/pool.py", 2, 2)),
    ],
)
def test_each_kind(citation: tuple[str, ...], state: str, place: tuple[str, int | None, int | None]) -> None:
    checked = of(*citation)
    assert checked.state == state
    assert (checked.path, checked.first, checked.last) == place


def test_the_true_text_of_what_is_nearly_right_is_told() -> None:
    assert of("E1", "8", "def releases(self, conn):").quote == "def release(self, conn):"


def test_of_several_lines_that_are_like_a_quotation_the_most_like_is_told_and_the_first_of_equals() -> None:
    lines = ["total = value_of(item_00x)", "total = value_of(item_012)", "total = value_of(item_013)"]
    file = ShownFile(["E1"], "a.py", list(enumerate(lines, 1)))
    near = check(Citation("E1", 1, 1, "total = value_of(item_01y)"), [file])
    assert (near.state, near.first, near.quote) == ("near", 2, lines[1])


def test_what_the_file_no_longer_has_is_stale() -> None:
    now = POOL.replace("self._open()", "self._pool.get()")
    changed = of("E1", "2", "conn = self._open()", now=now)
    assert (changed.state, changed.is_stale) == ("verified", True)
    assert not of("E1", "4", "raise PoolEmpty", now=now).is_stale


def test_no_quotation_reaches_over_lines_that_were_not_shown() -> None:
    file = ShownFile(["E1"], "a.py", [(1, "first_line = 1"), (9, "second_line = 2")])
    quote = "first_line = 1\nsecond_line = 2"
    assert check(Citation("a.py", 1, 9, quote), [file]).state == "unverified"


def test_several_places_at_one_distance_are_ambiguous() -> None:
    lines = [(1, "total += price"), (2, "pass"), (3, "total += price")]
    file = ShownFile(["E1"], "a.py", lines)
    assert check(Citation("a.py", 2, 2, "total += price"), [file]).state == "ambiguous"


def test_two_files_of_one_name_are_no_place() -> None:
    files = [ShownFile([f"E{n}"], f"/repo/{n}/pool.py", numbered(POOL)) for n in (1, 2)]
    assert check(Citation("pool.py", 2, 2, "conn = self._open()"), files).state == "unknown_file"
    assert check(Citation("1/pool.py", 2, 2, "conn = self._open()"), files).state == "verified"


def test_lines_of_a_block_are_read_as_models_are_shown_them() -> None:
    block = "<<<FILE E1 a.py lines 9-10 of 10 sha256:00>>>\n   9│x = 1\n  10│\n<<<END E1 sha256:00>>>\n"
    assert shown_lines(block) == [(9, "x = 1"), (10, "")]


def misjudged(made: Iterator[Lie]) -> list[Lie]:
    return [lie for lie in made if check(lie.citation, lie.shown).state not in LIES[lie.kind]]


def test_a_share_of_the_lies_of_the_benchmark() -> None:
    assert misjudged(lies(random.Random(7), 600)) == []


@given(st.text(max_size=300), st.text(max_size=200), st.integers(1, 20), st.integers(1, 20))
def test_whatever_is_called_verified_stands_there(text: str, quote: str, first: int, last: int) -> None:
    file = ShownFile(["E1"], "a.txt", numbered(text))
    checked = check(Citation("a.txt", first, last, quote), [file])
    if checked.state in {"verified", "moved", "wrong_file"}:
        squeezed = "".join(file.text.split())
        assert all("".join(part.split()) in squeezed for part in quote.split("…") if part.isalnum())
