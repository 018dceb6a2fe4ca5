"""Envelopes and bodies: read as their protocol says, broken ones as far as they can be, and within bounds."""

import gzip
import json
import zlib
from collections import Counter
from typing import Any

import brotli
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exai.error_tracking.ingestion.bodies import (
    LARGEST,
    MOST_DEPTH,
    MOST_PARTS,
    ReportRefused,
    ReportTooLarge,
    decoded,
    unpacked,
)
from exai.error_tracking.ingestion.envelope import LARGEST_ITEM, MOST_KEPT, read_envelope

HEADER = b'{"event_id":"9ec79c33ec9942ab8353589fcb2e04dc"}\n'


def item(kind: str, payload: Any, *, with_length: bool = True) -> bytes:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    length = {"length": len(body)} if with_length else {}
    return json.dumps({"type": kind, **length}).encode() + b"\n" + body + b"\n"


def test_items_with_and_without_a_length_are_read() -> None:
    envelope = read_envelope(
        HEADER
        + item("event", {"message": "one"})
        + item("event", {"message": "two"}, with_length=False)
        + item("client_report", {"discarded_events": []})
    )
    assert [each.payload.get("message") for each in envelope.items] == ["one", "two", None]
    assert envelope.header["event_id"] == "9ec79c33ec9942ab8353589fcb2e04dc"
    assert not envelope.broken


def test_a_length_counts_bytes_and_may_span_lines() -> None:
    payload = '{"message":\n"ü"}'.encode()
    envelope = read_envelope(HEADER + item("event", payload))
    assert envelope.items[0].payload == {"message": "ü"}


def test_what_nobody_reads_is_accepted_and_counted() -> None:
    envelope = read_envelope(
        HEADER + item("session", {}) + item("transaction", {}) * 2 + item("x y", {}) + item("event", {})
    )
    assert envelope.not_kept == Counter(transaction=2, session=1, other=1)
    assert len(envelope.items) == 1


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (b"no json\n", "item header"),
        (b"[]\n", "item header"),
        (b'{"type":"event","length":-1}\n', "length"),
        (b'{"type":"event","length":true}\n', "length"),
        (item("event", b"no json"), "payload"),
        (item("event", b"[1]"), "payload"),
        (item("event", b'"' + b"x" * LARGEST_ITEM + b'"'), "too large"),
    ],
)
def test_a_broken_item_spoils_no_other(broken: bytes, reason: str) -> None:
    envelope = read_envelope(HEADER + item("event", {"n": 1}) + broken + item("event", {"n": 2}))
    assert [each.payload["n"] for each in envelope.items] == [1, 2]
    assert envelope.broken == Counter({reason: 1})


@pytest.mark.parametrize("kind", ["[]", "{}", "null", "7", "1e400", '"\\ud800"', '["event"]'])
def test_an_item_of_no_kind_is_accepted_and_counted(kind: str) -> None:
    envelope = read_envelope(HEADER + f'{{"type":{kind}}}\n{{}}\n'.encode() + item("event", {"n": 2}))
    assert [each.payload["n"] for each in envelope.items] == [2]
    assert envelope.not_kept == Counter(other=1)


def test_a_length_that_lies_ends_the_envelope_and_keeps_what_was_before() -> None:
    envelope = read_envelope(HEADER + item("event", {"n": 1}) + b'{"type":"event","length":99999}\n{}')
    assert [each.payload["n"] for each in envelope.items] == [1]
    assert envelope.broken == Counter(length=1)


def test_of_too_many_items_a_hundred_are_read() -> None:
    envelope = read_envelope(HEADER + item("event", {}) * (MOST_KEPT + 5))
    assert len(envelope.items) == MOST_KEPT
    assert envelope.broken == Counter({"too many": 5})


@pytest.mark.parametrize("head", [b"\n", b"no json\n", b"[]\n", b'{"a":"' + b"x" * 9_000 + b'"}\n'])
def test_a_broken_header_refuses_the_whole_and_names_its_line(head: bytes) -> None:
    with pytest.raises(ReportRefused, match="Line 1"):
        read_envelope(head + item("event", {}))


@given(st.binary(max_size=400))
@settings(max_examples=300)
def test_any_bytes_are_read_or_refused(noise: bytes) -> None:
    for body in (noise, HEADER + noise, HEADER + item("event", noise)):
        try:
            read_envelope(body)
        except ReportRefused:
            continue


def test_bodies_are_unpacked_up_to_their_bound() -> None:
    text = b'{"message": "x"}' * 10
    assert unpacked(gzip.compress(text), "gzip") == text
    assert unpacked(brotli.compress(text), "br") == text
    assert unpacked(zlib.compress(text), "deflate") == text
    assert unpacked(zlib.compress(text)[2:-4], "deflate") == text
    assert unpacked(zlib.compress(gzip.compress(text)), "gzip, deflate") == text
    assert unpacked(text, "") == unpacked(text, "identity") == text
    bomb = gzip.compress(bytes(LARGEST + 1))
    for body, encoding in (
        (bomb, "gzip"),
        (gzip.compress(bomb), "gzip, gzip"),
        (brotli.compress(bytes(LARGEST + 1)), "br"),
        (bytes(LARGEST + 1), ""),
    ):
        with pytest.raises(ReportTooLarge):
            unpacked(body, encoding)
    for body, encoding in (
        (text, "gzip"),
        (gzip.compress(text)[:-9], "gzip"),
        (brotli.compress(text)[:-1], "br"),
        (text, "br"),
        (text, "zstd"),
        (b"", "gzip"),
    ):
        with pytest.raises(ReportRefused):
            unpacked(body, encoding)


def test_json_is_decoded_up_to_its_bounds() -> None:
    assert decoded(b"[" * MOST_DEPTH + b"]" * MOST_DEPTH)
    assert decoded(b'{"a": "\\ud800"}')["a"] == "\ufffd"
    assert decoded(b'{"a": "\xff"}') == {"a": "\ufffd"}
    for text in (
        b"[" * (MOST_DEPTH + 1) + b"]" * (MOST_DEPTH + 1),
        b"[" * 40_000 + b"]" * 40_000,
        b"[" + b"{}," * MOST_PARTS + b"1]",
    ):
        with pytest.raises(ReportTooLarge):
            decoded(text)
    with pytest.raises(ValueError, match="Expecting"):
        decoded(b"{")
