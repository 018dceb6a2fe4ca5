"""Whatever is sent, the answer is HTTP, and never the emulator's own failure."""

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exai_emulator import Emulator, EmulatorOptions, running
from exai_emulator.custom.dialects import DIALECTS
from exai_emulator.glm.rules import KNOWN_FIELDS as GLM_FIELDS
from exai_emulator.kimi.rules import KNOWN_FIELDS as KIMI_FIELDS

PROVIDERS = ("glm", "kimi", "custom")
bounded = settings(
    max_examples=60,
    derandomize=True,
)

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
part = anything | st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image_url"]) | anything},
    optional={"text": anything, "image_url": anything},
)
message = anything | st.fixed_dictionaries(
    {
        "role": st.sampled_from(["system", "user", "assistant", "tool"]) | anything,
        "content": anything | st.lists(part, max_size=2),
    },
    optional=dict.fromkeys(["tool_calls", "partial", "tools", "reasoning_content", "tool_call_id"], anything),
)
KEYWORDS = (
    *(
        "type",
        "properties",
        "items",
        "anyOf",
        "$ref",
        "$defs",
        "enum",
        "const",
        "required",
        "minItems",
        "maxItems",
    ),
    *(
        "minLength",
        "maxLength",
        "minimum",
        "maximum",
        "additionalProperties",
        "default",
        "description",
        "$id",
    ),
)
kinds = st.sampled_from(["object", "array", "string", "integer", "null", "#", "#/$defs/a", "$defs", "a"])
schema = st.recursive(
    anything | kinds,
    lambda inner: st.dictionaries(st.sampled_from(KEYWORDS) | st.text(max_size=2), inner | kinds, max_size=4),
    max_leaves=12,
)
response_format = st.fixed_dictionaries(
    {"type": st.just("json_schema")},
    optional={"json_schema": st.fixed_dictionaries({"name": st.just("a"), "schema": schema})},
)
fields = sorted((GLM_FIELDS | KIMI_FIELDS | {"invented"}) - {"model", "messages"})
body = anything | st.fixed_dictionaries(
    {
        "model": st.sampled_from(["glm-5.3", "glm-5.3-flash", "kimi-k3", "kimi-k2.6"]) | anything,
        "messages": st.lists(message, max_size=3),
    },
    optional=dict.fromkeys(fields, anything) | {"response_format": anything | response_format},
)


async def answered(emulator: Emulator, provider: str, content: bytes, path: str = "/chat/completions") -> int:
    """The status of the answer to a chat with this body."""
    at = urlsplit(getattr(emulator.addresses, provider) + path)
    key = getattr(emulator.addresses, f"{provider.partition('_')[0]}_key")
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    head = (
        f"POST {at.path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    writer.write(head.encode() + content)
    async with asyncio.timeout(20):
        reply = await reader.read()
    writer.close()
    assert reply.startswith(b"HTTP/1.1 ")
    return int(reply.split(b" ", 2)[1])


def statuses(contents: list[bytes], *, all_rules_off: bool) -> set[int]:
    async def run() -> set[int]:
        async with running(EmulatorOptions()) as emulator:
            if all_rules_off:
                for rule_id in emulator.rules.by_id:
                    emulator.rules.set(rule_id, on=False)
            found = {
                await answered(emulator, provider, content) for content in contents for provider in PROVIDERS
            }
            assert all(record.outcome != "failed" for record in emulator.log.requests)
            return found

    return asyncio.run(run())


@pytest.mark.parametrize("all_rules_off", [False, True])
@bounded
@given(st.lists(body, min_size=1, max_size=5))
def test_random_json_is_answered_or_refused(all_rules_off: bool, bodies: list[Any]) -> None:
    contents = [json.dumps(entry).encode() for entry in bodies]
    found = statuses(contents, all_rules_off=all_rules_off)
    assert found <= ({200} if all_rules_off else {200, 400, 404})


block = anything | st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image", "tool_use", "tool_result"]) | anything},
    optional=dict.fromkeys(["text", "source", "id", "name", "input", "tool_use_id", "content"], anything),
)
messages_body = anything | st.fixed_dictionaries(
    {
        "model": st.sampled_from(["glm-5.3", "kimi-k3"]) | anything,
        "max_tokens": st.just(100) | anything,
        "messages": st.lists(
            st.fixed_dictionaries(
                {"role": st.sampled_from(["user", "assistant"]), "content": st.lists(block, max_size=3)}
            )
            | anything,
            max_size=3,
        ),
    },
    optional={
        **dict.fromkeys(["system", "tools", "tool_choice", "stream", "output_config"], anything),
        **dict.fromkeys(["instructions", "reasoning", "text", "max_output_tokens"], anything),
        "input": st.lists(block | anything, max_size=3) | anything,
    },
)
FURTHER = [
    ("glm_anthropic", "/v1/messages"),
    ("kimi_anthropic", "/v1/messages"),
    ("glm", "/async/chat/completions"),
    ("glm", "/tokenizer"),
    ("glm", "/files"),
    ("glm", "/files/parser/create"),
    ("kimi", "/files"),
    ("kimi", "/responses"),
    ("kimi", "/batches"),
    ("kimi", "/formulas/moonshot/date/fibers"),
    ("kimi", "/signatures/verify"),
]


@pytest.mark.parametrize("all_rules_off", [False, True])
@bounded
@given(st.lists(messages_body, min_size=1, max_size=3), st.binary(max_size=60))
def test_no_endpoint_fails_whatever_it_is_sent(all_rules_off: bool, bodies: list[Any], noise: bytes) -> None:
    async def run() -> set[int]:
        async with running(EmulatorOptions()) as emulator:
            if all_rules_off:
                for rule_id in emulator.rules.by_id:
                    emulator.rules.set(rule_id, on=False)
            contents = [noise, *(json.dumps(entry).encode() for entry in bodies)]
            found = {
                await answered(emulator, door, content, path)
                for content in contents
                for door, path in FURTHER
            }
            assert all(record.outcome != "failed" for record in emulator.log.requests)
            return found

    assert asyncio.run(run()) <= {200, 400, 404}


@bounded
@given(st.lists(st.binary(max_size=60), min_size=1, max_size=5))
def test_random_bytes_as_a_body_are_refused(contents: list[bytes]) -> None:
    assert statuses(contents, all_rules_off=False) <= {400}


@bounded
@given(st.binary(min_size=1, max_size=200))
def test_random_bytes_as_a_request_harm_nobody(content: bytes) -> None:
    async def run() -> int:
        async with running(EmulatorOptions()) as emulator:
            at = urlsplit(emulator.addresses.kimi)
            _, writer = await asyncio.open_connection(at.hostname, at.port)
            writer.write(content)
            writer.close()
            return await answered(emulator, "kimi", b"{}")

    assert asyncio.run(run()) == 404


@pytest.mark.parametrize("content", ["\ud800", "\x00", "🦉" * 2_000, "a" * 300_000])
async def test_odd_texts_are_answered(post: Any, emulator: Emulator, content: str) -> None:
    for provider in PROVIDERS:
        for streams in (False, True):
            asked = [{"role": "user", "content": content}]
            assert (await post(emulator, provider, messages=asked, stream=streams)).status in {200, 400}
    assert {record.outcome for record in emulator.log.requests} == {"complete"}


@pytest.mark.parametrize(("provider", "status"), [("glm", 435), ("kimi", 400), ("custom", 413)])
async def test_a_body_above_the_limit_is_refused(started: Any, post: Any, provider: str, status: int) -> None:
    async with started(EmulatorOptions(max_body_bytes=1_000)) as emulator:
        assert (await post(emulator, provider, user="u" * 2_000)).status == status
        assert (await post(emulator, provider)).status == 200


async def test_a_deeply_nested_body_is_refused(post: Any, emulator: Emulator) -> None:
    nested = "[" * 100_000 + "]" * 100_000
    assert (await post(emulator, "glm", raw=nested)).status == 400


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_other_methods_are_no_route(emulator: Emulator, http: Any, method: str) -> None:
    headers = {"Authorization": f"Bearer {emulator.addresses.kimi_key}"}
    url = f"{emulator.addresses.kimi}/chat/completions"
    async with http.request(method, url, headers=headers) as response:
        assert response.status == 404


@bounded
@given(st.lists(body, min_size=1, max_size=4), st.lists(st.binary(max_size=40), max_size=2))
def test_random_input_harms_no_dialect(bodies: list[Any], noise: list[bytes]) -> None:
    async def run() -> set[int]:
        async with running(EmulatorOptions()) as emulator:
            found = set()
            for dialect in DIALECTS:
                emulator.custom_dialect = dialect
                emulator.rules.set("custom.auth.missing", on=False)
                for content in [*(json.dumps(entry).encode() for entry in bodies), *noise]:
                    found.add(await answered(emulator, "custom", content))
            assert all(record.outcome != "failed" for record in emulator.log.requests)
            return found

    assert asyncio.run(run()) <= {200, 400, 404, 422}


ORDERS = ("persona", "faults", "rules", "account", "clock", "files", "dialect", "scenario", "replies")


@bounded
@given(st.lists(anything, min_size=1, max_size=3), st.binary(max_size=40))
def test_random_orders_at_the_control_port_are_refused(bodies: list[Any], noise: bytes) -> None:
    async def run() -> set[int]:
        async with running(EmulatorOptions()) as emulator, aiohttp.ClientSession() as session:
            found = set()
            for path in ORDERS:
                method = "PUT" if path == "account" else "POST"
                for content in [*(json.dumps(entry).encode() for entry in bodies), noise]:
                    url = f"{emulator.addresses.control}/_ctl/{path}"
                    async with session.request(method, url, data=content) as response:
                        found.add(response.status)
            return found

    # An object without fields is an order that changes nothing.
    assert asyncio.run(run()) <= {200, 400}
