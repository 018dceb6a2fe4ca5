"""Pieces of an answer are summed, wherever a provider puts them."""

import json
from typing import Any

import pytest

from exai.costs import Usage
from exai.messages import Citation
from exai.providers.base import DeltaKind
from exai.providers.wire.stream import AnswerAccumulator, MalformedAnswerError, ReportedError


def chunk(*, delta: Any = None, finish: str | None = None, **fields: Any) -> bytes:
    choice = {"index": 0, "delta": delta if delta is not None else {}, "finish_reason": finish}
    return json.dumps({"id": "x-1", "model": "glm-5.3", "choices": [choice], **fields}).encode()


def summed(*events: bytes, together: bool = True) -> AnswerAccumulator:
    answer = AnswerAccumulator(None)
    if together:
        answer.add_events(list(events))
    else:
        for event in events:
            answer.add_events([event])
    return answer


COUNTS = {
    "prompt_tokens": 93,
    "completion_tokens": 40,
    "total_tokens": 133,
    "completion_tokens_details": {"reasoning_tokens": 12},
}
FULL = Usage(input=93, cached=64, output=40, reasoning=12)


@pytest.mark.parametrize(
    "events",
    [
        [chunk(finish="stop", usage={**COUNTS, "prompt_tokens_details": {"cached_tokens": 64}})],
        [chunk(finish="stop", usage={**COUNTS, "cached_tokens": 64})],
        [
            json.dumps(
                {
                    "choices": [
                        {"delta": {}, "finish_reason": "stop", "usage": {**COUNTS, "cached_tokens": 64}}
                    ]
                }
            ).encode()
        ],
        [
            chunk(finish="stop", usage=None),
            json.dumps({"choices": [], "usage": {**COUNTS, "cached_tokens": 64}}).encode(),
        ],
        # The flat count in one copy, the details in another.
        [
            chunk(finish="stop", usage={**COUNTS, "cached_tokens": 64}),
            json.dumps({"choices": [], "usage": {**COUNTS, "prompt_tokens_details": None}}).encode(),
        ],
    ],
    ids=["details", "flat", "in the choice", "trailing chunk", "two copies"],
)
def test_usage_is_found_in_every_documented_place(events: list[bytes]) -> None:
    for together in (True, False):
        assert summed(*events, b"[DONE]", together=together).usage == FULL


def test_tokens_that_went_into_the_cache_are_found_in_both_spellings() -> None:
    for usage in (
        {**COUNTS, "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 50}},
        {**COUNTS, "cache_write_tokens": 50},
    ):
        assert summed(chunk(finish="stop", usage=usage)).usage.cache_write == 50


def test_odd_usage_counts_as_not_said() -> None:
    odd = {
        "prompt_tokens": "many",
        "completion_tokens": -1,
        "cached_tokens": True,
        "completion_tokens_details": [],
    }
    assert summed(chunk(usage=odd)).usage == Usage()
    assert summed(chunk(usage=[1])).usage == Usage()


def test_neighbouring_pieces_of_one_kind_are_joined() -> None:
    told: list[tuple[DeltaKind, str]] = []
    answer = AnswerAccumulator(lambda kind, text: told.append((kind, text)))
    answer.add_events(
        [
            chunk(delta={"reasoning_content": "a"}),
            chunk(delta={"reasoning_content": "b"}),
            chunk(delta={"reasoning_content": "c", "content": "d"}),
            chunk(delta={"content": "e"}),
        ]
    )
    answer.add_events(
        [chunk(delta={"content": "f"}, finish="stop"), b"[DONE]", chunk(delta={"content": "late"})]
    )

    assert told == [(DeltaKind.REASONING, "abc"), (DeltaKind.TEXT, "de"), (DeltaKind.TEXT, "f")]
    assert (answer.text, answer.reasoning, answer.done, answer.finish_reason) == ("def", "abc", True, "stop")
    assert (answer.echoed_model, answer.id) == ("glm-5.3", "x-1")


@pytest.mark.parametrize(
    "bad",
    [b'{"choices":[{"delta":{"content":"hal', b"<html>", b"5", b'{"choices":5}', b'"text"', b"\xff\xfe"],
)
def test_what_came_before_a_malformed_event_counts(bad: bytes) -> None:
    answer = AnswerAccumulator(None)
    with pytest.raises(MalformedAnswerError):
        answer.add_events([chunk(delta={"content": "before"}), bad, chunk(delta={"content": "after"})])
    assert answer.text == "before"


@pytest.mark.parametrize(
    "harmless",
    [
        b"",
        b"{}",
        b'{"choices":[]}',
        b'{"choices":null}',
        b'{"choices":[{"delta":null}]}',
        b'{"choices":[{"index":7,"delta":{"content":null}}],"x":{"y":[1]}}',
        b'{"id":7,"model":null,"choices":[]}',
    ],
)
def test_unusual_but_harmless_events_are_passed_over(harmless: bytes) -> None:
    answer = summed(harmless, chunk(delta={"content": "yes"}), harmless, chunk(finish="stop"))
    assert (answer.text, answer.finish_reason) == ("yes", "stop")
    assert summed(harmless, together=False).text == ""


@pytest.mark.parametrize(
    "body", [b'{"error":{"code":"1234","message":"x"}}', b'{"success":false,"code":1302}']
)
def test_an_error_inside_a_stream_is_reported_after_what_came_before(body: bytes) -> None:
    answer = AnswerAccumulator(None)
    with pytest.raises(ReportedError) as reported:
        answer.add_events([chunk(delta={"content": "before"}), body])
    assert answer.text == "before"
    assert "code" in reported.value.content or "code" in reported.value.content["error"]


def test_sources_of_a_web_search_become_citations_once() -> None:
    sources = [
        {"title": "A", "link": "https://a.example/", "publish_date": "2026-01-01", "media": "x"},
        {"title": "No link", "link": "", "publish_date": None},
        {"title": None},
        "odd",
    ]
    answer = summed(chunk(web_search=sources), chunk(finish="stop", web_search=sources))
    assert answer.citations == (Citation("A", "https://a.example/", "2026-01-01"), Citation("No link", ""))


def test_a_whole_body_is_read_like_a_stream() -> None:
    answer = AnswerAccumulator(None)
    message = {"role": "assistant", "content": "text", "reasoning_content": "thought"}
    body = {
        "id": "i",
        "model": "m",
        "choices": [{"message": message, "finish_reason": "length"}],
        "usage": COUNTS,
    }
    answer.add_whole(json.dumps(body).encode())
    assert (answer.text, answer.reasoning, answer.finish_reason) == ("text", "thought", "length")
    assert (answer.usage.output, answer.echoed_model, answer.id, answer.done) == (40, "m", "i", True)


def call_piece(index: int | None = 0, name: str | None = None, arguments: str = "", **further: str) -> bytes:
    """An event with one piece of a tool call."""
    function = {"arguments": arguments, **({} if name is None else {"name": name})}
    place = {} if index is None else {"index": index}
    return chunk(delta={"tool_calls": [{"function": function, **place, **further}]})


@pytest.mark.parametrize(
    ("pieces", "calls"),
    [
        # Kimi's searches came so: three calls, all at index 0, none with an id.
        (
            [call_piece(0, "search", f'{{"q":{n}}}') for n in range(3)],
            [("search", f'{{"q":{n}}}') for n in range(3)],
        ),
        (
            [call_piece(None, "search", f'{{"q":{n}}}') for n in range(2)],
            [("search", f'{{"q":{n}}}') for n in range(2)],
        ),
        (
            [call_piece(0, "read", '{"a":'), call_piece(0, "search", "{}")],
            [("read", '{"a":'), ("search", "{}")],
        ),
        # Others repeat the name in every piece of one call.
        ([call_piece(0, "read", '{"a":'), call_piece(0, "read", "1}")], [("read", '{"a":1}')]),
        ([call_piece(0, "read", '{"a":'), call_piece(0, None, "1}")], [("read", '{"a":1}')]),
        ([call_piece(0, "read", "{", id="x"), call_piece(0, "read", "}", id="x")], [("read", "{}")]),
        ([call_piece(0, "read", "{}", id="x"), call_piece(0, "read", "{}", id="y")], [("read", "{}")] * 2),
    ],
)
def test_a_name_or_an_id_that_comes_again_begins_a_call_where_the_one_before_is_whole(
    pieces: list[bytes], calls: list[tuple[str, str]]
) -> None:
    answer = AnswerAccumulator(None)
    answer.add_events(pieces)
    assert [(call.name, call.arguments) for call in answer.tool_calls] == calls
    assert len({call.id for call in answer.tool_calls}) == len(calls)
