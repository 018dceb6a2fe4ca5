"""Every ready-made fault strikes, is counted, and is seen by a client that sees bytes."""

import asyncio
from typing import Any

import pytest

from exai_emulator import READY_FAULTS, Emulator
from support.virtual_time import now

EVERY = [
    (provider, name)
    for provider, faults in READY_FAULTS.items()
    for name, ready in faults.items()
    if ready.fault.path == "/chat/completions"
]
ONLY_IN_STREAMS = {
    "stall",
    "stall_then_on",
    "early_end",
    "done_missing",
    "repeated_text",
    "wrong_index",
    "missing_id",
    "null_delta",
    "keep_alives_after_end",
}
"""Faults that can only show in a stream, or show in a whole answer as something else."""
PATIENCE_S = 60
ENOUGH_PIECES = 100
ENOUGH_BYTES = 2**20
"""Of what does not end."""
SILENCE_S = 10

pytestmark = pytest.mark.virtual_time


async def received(connection: Any, *, endless: bool = False) -> tuple[list[tuple[float, bytes]], str]:
    """Every piece with the time of its arrival, until the end, and whether that was `fin`, `reset`, silence or none."""
    began = now()
    pieces: list[Any] = []
    while True:
        try:
            async with asyncio.timeout(PATIENCE_S):
                piece = await connection.reader.read(65536)
        except ConnectionResetError:
            return pieces, "reset"
        except TimeoutError:
            return pieces, "silence"
        if not piece:
            return pieces, "fin"
        pieces.append((now() - began, piece))
        if endless and (len(pieces) > ENOUGH_PIECES or sum(len(one) for _, one in pieces) > ENOUGH_BYTES):
            return pieces, "endless"


def without_ids(pieces: list[tuple[float, bytes]]) -> bytes:
    """What was sent, but for headers that differ between any two answers."""
    head, _, body = b"".join(piece for _, piece in pieces).partition(b"\r\n\r\n")
    kept = [
        line
        for line in head.split(b"\r\n")
        if line.lower().startswith(
            (b"http/", b"content-", b"transfer-", b"retry", b"x-retry", b"location", b"x-emul")
        )
    ]
    return b"\r\n".join(kept) + b"\r\n\r\n" + body


@pytest.mark.parametrize(("provider", "name"), EVERY)
async def test_a_ready_fault_is_seen_on_the_wire(
    emulator: Emulator, raw_ask: Any, provider: str, name: str
) -> None:
    fault = READY_FAULTS[provider][name].fault
    for streams in (True,) if name in ONLY_IN_STREAMS else (True, False):
        fields = {"stream": streams, "stream_options": {"include_usage": True}}
        healthy = await received(await raw_ask(provider, closes=True, **fields))
        emulator.reset()
        emulator.faults.add(provider, fault)
        endless = fault.endless or fault.done == "withheld"
        struck = await received(await raw_ask(provider, closes=True, **fields), endless=endless)
        assert emulator.faults.struck[provider] == 1
        assert emulator.faults.struck_by == {(provider, fault.described()): 1}
        expected = without_ids(healthy[0]), healthy[1]
        seen = without_ids(struck[0]), struck[1]
        took_s = struck[0][-1][0] if struck[0] else None
        if fault.cut == "stall" and fault.stall_ms is None:
            assert expected[0].startswith(seen[0])
            assert seen[1] == "silence"
        elif endless:
            assert seen[1] == "endless"
        elif fault.cut == "trickle" and not fault.replaces_the_answer:
            assert seen == expected
            assert took_s == len(struck[0]) - 1, "a byte per second, after the headers"
        elif (fault.stall_ms or fault.before_headers_ms or fault.before_first_byte_ms) and (
            not fault.replaces_the_answer
        ):
            assert seen == expected
            assert took_s == SILENCE_S
        else:
            assert seen != expected
        emulator.reset()


async def test_a_ready_fault_is_ordered_by_its_name(emulator: Emulator, http: Any, ask: Any) -> None:
    url = f"{emulator.addresses.control}/_ctl/faults"
    async with http.post(url, json={"provider": "glm", "ready": "rate_limit", "times": 2}) as response:
        assert response.status == 200
    assert [(await ask("glm")).status for _ in range(3)] == [429, 429, 200]
    async with http.get(url) as response:
        assert set((await response.json())["ready"]["kimi"]) == set(READY_FAULTS["kimi"])


@pytest.mark.parametrize(
    ("order", "told"),
    [
        ({"provider": "glm", "ready": "gateway"}, "has no ready-made fault"),
        ({"provider": "openai", "ready": "stall"}, "no provider"),
        ({"provider": "glm"}, "Order a fault"),
        ({"provider": "glm", "ready": "stall", "fault": {}}, "Order a fault"),
    ],
)
async def test_a_malformed_order_is_refused_with_the_reason(
    emulator: Emulator, http: Any, order: Any, told: str
) -> None:
    async with http.post(f"{emulator.addresses.control}/_ctl/faults", json=order) as response:
        assert response.status == 400
        assert told in (await response.json())["error"]
