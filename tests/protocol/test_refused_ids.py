"""A message that is refused: whose id can be read, and half a surrogate pair, which is no reason to refuse one."""

import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exai.protocol.jsonrpc import Refusal, encode, error_message, parse
from exai.protocol.request_ids import readable_id
from exai.protocol.session import Item, read_frame
from exai.protocol.surrogates import repaired

HALF = "\ud83d"
LARGE = "x" * 50_000

BROKEN: list[tuple[str, str | int | None]] = [
    ('{"jsonrpc":"2.0","id":7,"method":"ping",}', 7),
    ('{"jsonrpc":"2.0","id":"seven","method":"ping",}', "seven"),
    ('{ "id" : 7 , "jsonrpc" : "2.0" , "method" : nan }', 7),
    ('{"method":"tools/call","params":{"a":"' + LARGE + '",},"jsonrpc":"2.0","id":7}', 7),
    ('{"method":"tools/call","params":{"a":"' + LARGE + '",},"id":7,"jsonrpc":"2.0"}\r\n', 7),
    ('{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"a":"' + LARGE, 7),
    ('{"jsonrpc":"2.0","params":{"id":3},"id":7,"method":1e999}', 7),
    ('{"jsonrpc":"2.0","method":"ping","params":{"jsonrpc":"2.0","id":3', None),
    ('{"jsonrpc":"2.0","method":"ping","params":{"a":[{"id":3}', None),
    ('{"jsonrpc":"2.0","method":"ping","params":"{\\"id\\":3,}', None),
    ('{"jsonrpc":"2.0","id":12', None),
    ('{"jsonrpc":"2.0","id":1e999,"method":"ping"}', None),
    ('{"jsonrpc":"2.0","id":1.5,"method":"ping",}', None),
    ('{"jsonrpc":"2.0","a":"not closed,"id":7,"method":"ping"}', None),
    ('{"jsonrpc":"2.0","id":7,"method":"ping","params":' + '{"a":' * 50_000, 7),
    ('{"jsonrpc":"2.0","id":7,"method":"ping","params":[' + "[]," * 200_000 + "[]]}", 7),
    ('{"method":"ping","params":[' + "[]," * 200_000 + '[]],"jsonrpc":"2.0","id":7}', 7),
    ('{"id":7,"method":"ping"}', 7),
    ('{"jsonrpc":"2.0","id":true,"method":"ping"}', None),
    ('{"jsonrpc":"2.0","id":7,"method":"ping","params":{"a":' + "[" * 64 + "]" * 64 + "}}", 7),
    ("", None),
]


@pytest.mark.parametrize("as_bytes", [False, True])
def test_a_refusal_carries_the_id_that_can_be_read_and_no_other(
    as_bytes: bool, subtests: pytest.Subtests
) -> None:
    for text, request_id in BROKEN:
        with subtests.test(text=text[:80]):
            with pytest.raises(Refusal) as refusal:
                parse(text.encode() if as_bytes else text, 64)
            assert refusal.value.answer.get("id") == request_id
            assert ("id" in refusal.value.answer) == (request_id is not None)


def test_bytes_that_are_no_utf8_are_refused_under_their_id() -> None:
    with pytest.raises(Refusal, match="UTF-8") as refusal:
        parse(b'{"jsonrpc":"2.0","id":7,"method":"ping","params":{"a":"caf\xe9"}}', 64)
    assert refusal.value.request_id == 7


@given(
    request_id=st.integers(-(10**12), 10**12) | st.text(alphabet="abc-7", max_size=9),
    params=st.dictionaries(st.sampled_from(["id", "a", "jsonrpc"]), st.integers() | st.text(max_size=9)),
    place=st.integers(0, 200),
    is_last=st.booleans(),
)
def test_a_message_that_was_cut_off_is_never_given_another_ones_id(
    request_id: str | int, params: dict[str, Any], place: int, is_last: bool
) -> None:
    members = {"jsonrpc": "2.0", "id": request_id, "method": "m", "params": params}
    if is_last:
        members = {"method": "m", "params": params, "jsonrpc": "2.0", "id": request_id}
    text = json.dumps(members)
    assert readable_id(text) == request_id
    assert readable_id(text[:place]) in {request_id, None}


@given(
    text=st.text(
        alphabet=['"', "\\", "u", "D", "d", "8", "3", "e", "0", "{", ":", HALF, "\ude00"], max_size=20
    )
)
@example(text="\\" + HALF)
@example(text=HALF + HALF + "\ude00\ude00")
def test_half_a_surrogate_pair_becomes_the_replacement_character(text: str) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "method": "m", "params": {"a": text}}
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    written = json.dumps(message)
    for given_text in (written, written.encode()):
        assert parse(given_text, 64)["params"]["a"] == whole
    assert json.loads(encode(message))["params"]["a"] == whole
    frame = read_frame('{"t":"m","s":1,"a":0,"m":' + written + "}")
    assert isinstance(frame, Item)
    assert parse(bytes(frame.m), 64)["params"]["a"] == whole


def test_upper_case_escapes_are_the_same() -> None:
    assert repaired('"\\uD83D\\uDE00 \\uDE00"') == '"\\uD83D\\uDE00 \\ufffd"'


@given(text=st.text() | st.binary())
def test_what_has_no_half_of_a_pair_is_left_alone(text: str | bytes) -> None:
    lone = re.search(r"\\u[dD]", text if isinstance(text, str) else text.decode("latin-1"))
    assert lone or repaired(text) is text


def test_an_error_without_an_id_has_none() -> None:
    assert "id" not in error_message(None, -32700, "no")
    assert error_message(0, -32600, "no")["id"] == 0
