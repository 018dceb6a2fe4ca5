"""What recordings of the real services show, re-expressed as shapes: status, headers, fields, types and texts.

The recordings are third parties' captures of GLM and Kimi of March to September 2026. A text in a
shape is a regular expression; a type stands for any value of it.
"""

import asyncio
import re
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exai_emulator import Emulator, EmulatorOptions, Fault, Persona, running
from exai_emulator.emulator import CONFORMANCE

GLM_HEADERS = {"X-LOG-ID", "ga-traceid", "Vary", "Strict-Transport-Security", "Alt-Svc", "Set-Cookie", "Date"}
KIMI_HEADERS = {
    "Msh-Request-Id",
    "X-Msh-Trace-Id",
    "Msh-Trace-Mode",
    "Msh-Uid",
    "Msh-Gid",
    "Msh-Org-Id",
    "Msh-Project-Id",
    "Server-Timing",
    "Server",
    "CF-RAY",
    "Set-Cookie",
    "Date",
}
TYPED, SIZED, CHUNKED = {"Content-Type"}, {"Content-Length"}, {"Transfer-Encoding"}
RETRY = {"Retry-After", "X-Retry-After", "Msh-Cooldown-Seconds"}

GLM_ID = r"2\d{13}[0-9a-f]{16}"
GLM_USAGE = {
    "completion_tokens": int,
    "completion_tokens_details": {"reasoning_tokens": int},
    "prompt_tokens": int,
    "prompt_tokens_details": {"cached_tokens": int},
    "total_tokens": int,
}
KIMI_ID = "chatcmpl-[0-9a-f]{24}"
KIMI_USAGE = {
    "prompt_tokens": int,
    "completion_tokens": int,
    "total_tokens": int,
    "completion_tokens_details": {"reasoning_tokens": int},
}
HELLO = [{"role": "user", "content": "Say hello."}]
PICTURE = [
    {
        "role": "user",
        "content": [{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}],
    }
]


def glm_answer(finish: str, **message: Any) -> dict[str, Any]:
    return {
        "choices": [
            {
                "finish_reason": finish,
                "index": int,
                "message": {"content": str, "role": "assistant", **message},
            }
        ],
        "created": int,
        "id": GLM_ID,
        "model": str,
        "object": r"chat\.completion",
        "request_id": GLM_ID,
        "usage": GLM_USAGE,
    }


def kimi_answer(finish: str, usage: dict[str, Any] | None = None, **message: Any) -> dict[str, Any]:
    return {
        "id": KIMI_ID,
        "object": r"chat\.completion",
        "created": int,
        "model": str,
        "choices": [
            {
                "index": int,
                "message": {"role": "assistant", "content": str, "reasoning_content": str, **message},
                "finish_reason": finish,
            }
        ],
        "usage": usage or KIMI_USAGE,
    }


def glm_error(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


def kimi_error(message: str, kind: str = "invalid_request_error") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind}}


@dataclass
class Recorded:
    """One exchange of a recording."""

    fields: dict[str, Any]
    body: Any
    status: int = 200
    headers: set[str] = field(default_factory=lambda: TYPED | SIZED)
    """Beside those of every response."""
    fault: Fault | None = None
    twice: bool = False
    """Whether it is the second of two equal requests."""


THINKS = {"reasoning_content": str}
GLM = {
    "an answer with thinking": Recorded({"model": "glm-4.7"}, glm_answer("stop", **THINKS)),
    "an answer without": Recorded({"reasoning_effort": "low"}, glm_answer("stop")),
    "a cap that thinking used up": Recorded({"max_tokens": 5}, glm_answer("length", **THINKS)),
    "fields without effect": Recorded(
        {"seed": 1, "top_k": 5, "n": 1, "logprobs": True, "service_tier": "flex", "store": True},
        glm_answer("stop", **THINKS),
    ),
    "an image on a text model": Recorded(
        {"messages": PICTURE},
        glm_error("1210", r"messages\.content\.type is invalid, allowed values: \['text'\]"),
        400,
        CHUNKED,
    ),
    "a tool without type": Recorded(
        {"tools": [{"function": {"name": "f"}}]},
        glm_error("1214", r"tools\[0\]\.type:type cannot be empty\."),
        400,
        CHUNKED,
    ),
    "metadata as an object": Recorded(
        {"metadata": {"a": "b"}},
        glm_error("1210", r"Invalid API parameter, please check the documentation\."),
        400,
    ),
    "an overload": Recorded(
        {},
        glm_error("1305", "The service may be temporarily overloaded, please try again later"),
        429,
        fault=Fault(error="1305"),
    ),
}
KIMI = {
    "an answer": Recorded({}, kimi_answer("stop")),
    "a cap that thinking used up": Recorded({"max_completion_tokens": 5}, kimi_answer("length")),
    "a cache hit": Recorded(
        {},
        kimi_answer(
            "stop", {**KIMI_USAGE, "cached_tokens": int, "prompt_tokens_details": {"cached_tokens": int}}
        ),
        headers=TYPED | SIZED | {"Msh-Context-Cache-Token-Saved"},
        twice=True,
    ),
    "fields without effect": Recorded(
        {"seed": 1, "top_k": 5, "n": 1, "metadata": {"a": "b"}, "do_sample": True, "verbosity": "low"},
        kimi_answer("stop"),
    ),
    **{
        f"{name} that is fixed": Recorded(
            {name: value}, kimi_error(f"invalid {name}: only {only} is allowed for this model"), 400
        )
        for name, value, only in (
            ("temperature", 0.5, "1"),
            ("top_p", 0.5, r"0\.95"),
            ("frequency_penalty", 1, "0"),
            ("presence_penalty", 1, "0"),
            ("logprobs", True, "false"),
        )
    },
    "top_logprobs alone": Recorded(
        {"top_logprobs": 1},
        kimi_error("Invalid request: logprobs must be set to true if top_logprobs is used"),
        400,
    ),
    "a logit bias": Recorded(
        {"logit_bias": {"1": 1}}, kimi_error("Invalid request: logit_bias is not supported yet"), 400
    ),
    "a tool without type": Recorded(
        {"tools": [{"function": {"name": "f"}}]},
        kimi_error("Invalid request: unknown tool type: , currently only function and plugin are supported"),
        400,
    ),
    "an image by URL": Recorded(
        {"messages": PICTURE}, kimi_error("Invalid request: unsupported image url.*"), 400
    ),
    "a rate limit": Recorded(
        {},
        kimi_error(
            r"Your account org-\w+<ak-\w+> request reached organization max RPM: 3, please try again after 1"
            " seconds",
            "rate_limit_reached_error",
        ),
        429,
        TYPED | SIZED | RETRY,
        Fault(error="rate_limit_rpm"),
    ),
    "an overload": Recorded(
        {},
        kimi_error("The engine is currently overloaded, please try again later", "engine_overloaded_error"),
        429,
        fault=Fault(error="overloaded"),
    ),
}
GOLDEN = [("glm", name) for name in GLM] + [("kimi", name) for name in KIMI]


def unlike(found: Any, shape: Any, at: str = "") -> list[str]:
    """Where `found` differs from `shape`."""
    if isinstance(shape, dict):
        if not isinstance(found, dict) or found.keys() != shape.keys():
            return [f"{at}: {sorted(found) if isinstance(found, dict) else found!r} is not {sorted(shape)}"]
        return [trouble for name, of in shape.items() for trouble in unlike(found[name], of, f"{at}.{name}")]
    if isinstance(shape, list):
        if not isinstance(found, list) or len(found) != len(shape):
            return [f"{at}: {found!r}"]
        return [
            trouble
            for place, of in enumerate(shape)
            for trouble in unlike(found[place], of, f"{at}[{place}]")
        ]
    if isinstance(shape, str):
        fits = isinstance(found, str) and re.fullmatch(shape, found) is not None
    elif isinstance(shape, type):
        fits = type(found) is shape
    else:
        fits = found == shape and type(found) is type(shape)
    return [] if fits else [f"{at}: {found!r} is not {shape!r}"]


@pytest.mark.parametrize(("provider", "name"), GOLDEN)
async def test_an_exchange_has_the_recorded_shape(
    emulator: Emulator, ask: Any, provider: str, name: str
) -> None:
    recorded = (GLM if provider == "glm" else KIMI)[name]
    if recorded.twice:
        await ask(provider, **recorded.fields)
    if recorded.fault is not None:
        emulator.faults.add(provider, recorded.fault)
    reply = await ask(provider, **recorded.fields)
    assert reply.status == recorded.status
    assert unlike(reply.json, recorded.body) == []
    always = GLM_HEADERS if provider == "glm" else KIMI_HEADERS
    assert set(reply.headers) == always | recorded.headers


async def test_glms_transcript_has_the_recorded_frames(emulator: Emulator, ask: Any) -> None:
    emulator.persona = Persona("echo", think_tokens=2)
    reply = await ask("glm", model="glm-4.7", stream=True)
    assert set(reply.headers) == GLM_HEADERS | TYPED | CHUNKED
    head = {
        "id": GLM_ID,
        "created": int,
        "object": r"chat\.completion\.chunk",
        "model": r"glm-4\.7",
    }

    def piece(kind: str) -> dict[str, Any]:
        return {**head, "choices": [{"index": 0, "delta": {"role": "assistant", kind: str}}]}

    *pieces, last, done = reply.frames
    assert done == "[DONE]"
    kinds = [
        "reasoning_content" if "reasoning_content" in frame["choices"][0]["delta"] else "content"
        for frame in pieces
    ]
    assert kinds == sorted(kinds, reverse=True)
    assert {"reasoning_content", "content"} == set(kinds)
    assert [unlike(frame, piece(kind)) for frame, kind in zip(pieces, kinds, strict=True)] == [[]] * len(
        pieces
    )
    finish = {"index": 0, "finish_reason": "stop", "delta": {"role": "assistant", "content": ""}}
    assert unlike(last, {**head, "choices": [finish], "usage": GLM_USAGE}) == []


def test_a_shape_shows_what_differs() -> None:
    assert unlike({"a": [1, "x"]}, {"a": [int, "x"]}) == []
    assert unlike({"a": 1, "b": 2}, {"a": int}) == [": ['a', 'b'] is not ['a']"]
    assert unlike({"a": True}, {"a": int}) == [".a: True is not <class 'int'>"]
    assert unlike({"a": "abc"}, {"a": "b"}) == [".a: 'abc' is not 'b'"]


VALID = st.fixed_dictionaries(
    {
        "messages": st.lists(
            st.fixed_dictionaries(
                {"role": st.sampled_from(["system", "user"]), "content": st.text(min_size=1, max_size=40)}
            ),
            min_size=0,
            max_size=3,
        ).map(lambda messages: [*messages, *HELLO])
    },
    optional={
        "max_tokens": st.integers(1, 2_000),
        "stream": st.booleans(),
        "stop": st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=2),
        "reasoning_effort": st.sampled_from(["low", "high", "max"]),
        "response_format": st.just({"type": "json_object"}),
    },
)


@settings(max_examples=25, derandomize=True)
@given(st.lists(VALID, min_size=1, max_size=5))
def test_any_valid_request_gets_an_answer_of_the_recorded_fields(bodies: list[dict[str, Any]]) -> None:
    asyncio.run(_all_answered(bodies))


async def _all_answered(bodies: list[dict[str, Any]]) -> None:
    async with running(EmulatorOptions()) as emulator, aiohttp.ClientSession() as session:
        for provider, model in (("glm", "glm-5.3"), ("kimi", "kimi-k3")):
            url = f"{getattr(emulator.addresses, provider)}/chat/completions"
            headers = {"Authorization": f"Bearer {getattr(emulator.addresses, f'{provider}_key')}"}
            for fields in bodies:
                async with session.post(url, json={"model": model, **fields}, headers=headers) as response:
                    content = (await response.read()).decode()
                    assert response.status == 200, content
                    if fields.get("stream"):
                        assert content.endswith("data: [DONE]\n\n")
                        continue
                    body = await response.json()
                message = body["choices"][0]["message"]
                extra = THINKS if "reasoning_content" in message else {}
                usage = {
                    **KIMI_USAGE,
                    **{name: body["usage"][name] for name in body["usage"] if "cached" in name},
                }
                if "prompt_tokens_details" in body["usage"]:
                    usage["prompt_tokens_details"] = {"cached_tokens": int}
                shape = (
                    glm_answer("stop|length", **extra)
                    if provider == "glm"
                    else kimi_answer("stop|length", usage)
                )
                assert unlike(body, shape) == []


def test_what_is_marked_as_recorded_is_golden_or_ruled() -> None:
    """Every behaviour that the page calls recorded belongs to a service that has recordings."""
    marked = [row.id for rows in CONFORMANCE.values() for row in rows if "W" in row.marks]
    assert marked
    assert all(row.startswith(("glm.", "kimi.")) for row in marked)
