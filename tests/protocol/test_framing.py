"""What is a message, and what is too much of one."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exai.protocol import jsonrpc as framing
from exai.protocol.jsonrpc import Refusal, parse

LIMIT = 12

tricky = st.text(alphabet='{}["]\\\n\u2028a', max_size=8)
values = st.recursive(
    tricky | st.integers() | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(tricky, inner, max_size=5),
    max_leaves=30,
)


def containers(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + sum(map(containers, value.values()))
    return 1 + sum(map(containers, value)) if isinstance(value, list) else 0


def depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


@given(value=values, max_depth=st.integers(1, 6), as_bytes=st.booleans(), indent=st.sampled_from([None, 1]))
def test_too_many_and_too_deep_are_counted_exactly(
    value: Any, max_depth: int, as_bytes: bool, indent: int | None
) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "method": "m", "params": {"v": value}}
    text = json.dumps(message, indent=indent)
    refused = containers(message) > LIMIT or depth(message) > max_depth
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(framing, "MAX_CONTAINERS", LIMIT)
        if refused:
            with pytest.raises(Refusal) as refusal:
                parse(text.encode() if as_bytes else text, max_depth)
            assert refusal.value.code == -32600
        else:
            assert parse(text.encode() if as_bytes else text, max_depth) == message


@given(text=st.text(max_size=30) | st.binary(max_size=30))
def test_nothing_but_a_refusal_comes_of_rubbish(text: str | bytes) -> None:
    with suppress(Refusal):
        assert parse(text, 64)["jsonrpc"] == "2.0"


@pytest.mark.parametrize("case", ["empty arrays", "objects", "keys", "strings", "escapes"])
def test_a_large_message_is_judged_before_it_is_built(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    size = 400_000
    text = {
        "empty arrays": "[" + "[]," * size + "[]]",
        "objects": "[" + '{"a":{}},' * size + "[]]",
        "keys": "{" + ",".join(f'"{n}":[]' for n in range(size)) + "}",
        "strings": "[" + '{"{":0},' * size + "[]]",
        "escapes": "[" + json.dumps({'"\\': {}}) + (',{"\\\\":[]}' * size) + "]",
    }[case]
    json.loads(text)

    def build(_: str) -> None:
        raise AssertionError("the message was built")

    monkeypatch.setattr(framing, "_decode", build)
    with pytest.raises(Refusal, match="100000"):
        parse(text, 64)
