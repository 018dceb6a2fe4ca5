"""The SSE parser gives the same events however the bytes are cut."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exai.providers.wire.sse import EventTooLargeError, SseParser

LINES = st.sampled_from(
    [
        "data: one", "data:two", "data", "data:  spaced", "data: ünïcodé 🦉", "data: [DONE]", ": comment", "event: x",
        "id: 1", "retry: 10", "nonsense", "", "", "",
    ]
)  # fmt: skip


def everything(pieces: list[bytes], *, max_event_bytes: int = 1_000_000) -> list[bytes]:
    parser = SseParser(max_event_bytes)
    events = [event for piece in pieces for event in parser.feed(piece)]
    return events + parser.finish()


def by_the_book(lines: list[str]) -> list[bytes]:
    """The standard's algorithm, line by line, with the last event delivered."""
    events: list[Any] = []
    data: list[Any] = []
    for line in [*lines, ""]:
        if not line:
            if data:
                events.append("\n".join(data).encode())
            data = []
        elif line == "data" or line.startswith("data:"):
            value = line.partition(":")[2]
            data.append(value.removeprefix(" "))
    return events


@given(
    lines=st.lists(LINES, max_size=20),
    ends=st.lists(st.sampled_from(["\n", "\r\n", "\r"]), min_size=20, max_size=20),
    cuts=st.lists(st.integers(0, 400), max_size=12),
    bom=st.booleans(),
    after_each_cr=st.booleans(),
)
def test_events_do_not_depend_on_cuts_or_line_ends(
    lines: list[str], ends: list[str], cuts: list[int], bom: bool, after_each_cr: bool
) -> None:
    # A bare CR before an empty line that ends with LF is one CRLF: not what this list of lines means.
    for index in range(len(lines) - 1):
        if ends[index] == "\r" and lines[index + 1] == "" and ends[index + 1] == "\n":
            ends[index] = "\n"
    whole = ("\ufeff" if bom else "").encode() + "".join(
        line + end for line, end in zip(lines, ends, strict=False)
    ).encode()
    places = {min(cut, len(whole)) for cut in cuts}
    if after_each_cr:
        places |= {place for place in range(1, len(whole)) if whole[place - 1 : place] == b"\r"}
    marks = sorted(places)
    pieces = [whole[a:b] for a, b in zip([0, *marks], [*marks, len(whole)], strict=True)]

    assert everything(pieces) == by_the_book(lines)


def test_every_byte_alone() -> None:
    stream = 'data: {"a":"é"}\r\n\r\n: beat\n\ndata: [DONE]'.encode()
    assert everything([bytes([byte]) for byte in stream]) == ['{"a":"é"}'.encode(), b"[DONE]"]


@pytest.mark.parametrize(
    "pieces",
    [[b"data: " + b"x" * 100], [b"data: " + b"x" * 20, b"x" * 20, b"x" * 20], [b"data: xxxxxxxx\n"] * 12],
)
def test_an_event_beyond_the_bound_is_refused(pieces: list[bytes]) -> None:
    with pytest.raises(EventTooLargeError):
        everything(pieces, max_event_bytes=50)


def test_many_small_events_stay_within_the_bound() -> None:
    parser = SseParser(50)
    assert len(parser.feed(b"data: x\n\n" * 1_000)) == 1_000


def test_an_event_of_many_lines_is_read_in_time() -> None:
    # With a copy of all lines for each further one, a megabyte takes minutes.
    lines = 150_000
    parser = SseParser(4 * 2**20)
    assert parser.feed(b"data:a\n" * lines) == []
    assert parser.feed(b"\n") == [b"\n".join([b"a"] * lines)]


def test_an_event_of_empty_lines_is_bounded() -> None:
    parser = SseParser(1_000)
    with pytest.raises(EventTooLargeError):
        for _ in range(1_000):
            parser.feed(b"data\n")
