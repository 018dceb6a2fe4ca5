"""A stream can be delivered in every way that a client may meet, and faults can be chosen by key, chance and time."""

import gzip
import json
import zlib
from typing import Any

import pytest

from exai_emulator import Emulator, EmulatorOptions, Fault, Persona

PROVIDERS = ["glm", "kimi", "custom"]


def chunks_of(reply: Any) -> list[Any]:
    return [frame for frame in reply.frames if frame != "[DONE]"]


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_roles_stand_where_the_script_puts_them(emulator: Emulator, ask: Any, provider: str) -> None:
    found = {}
    for role in ("every", "first", "never"):
        emulator.faults.add(provider, Fault(role=role))
        deltas = [chunk["choices"][0]["delta"] for chunk in chunks_of(await ask(provider, stream=True))]
        found[role] = ["role" in delta for delta in deltas]
    assert all(found["every"])
    assert found["first"] == [True] + [False] * (len(found["first"]) - 1)
    assert not any(found["never"])


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_an_unfinished_chunk_has_a_null_reason_or_none(
    emulator: Emulator, ask: Any, provider: str
) -> None:
    for unfinished in ("null", "absent"):
        emulator.faults.add(provider, Fault(unfinished=unfinished))
        *before, last = [chunk["choices"][0] for chunk in chunks_of(await ask(provider, stream=True))]
        assert last["finish_reason"] == "stop"
        assert all(("finish_reason" in choice) is (unfinished == "null") for choice in before)


async def test_the_last_blank_line_can_be_missing(emulator: Emulator, ask: Any) -> None:
    emulator.faults.add("kimi", Fault(done="unterminated"))
    assert (await ask("kimi", stream=True)).content.endswith(b"}\n\ndata: [DONE]")


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_stream_can_end_whole_with_its_answer_incomplete(
    emulator: Emulator, raw_ask: Any, provider: str
) -> None:
    emulator.faults.add(provider, Fault(cut="end", after_frames=3))
    connection = await raw_ask(provider, stream=True)
    head = await connection.until(b"\r\n\r\n")
    assert b"chunked" in head
    content = await connection.until(b"\r\n0\r\n\r\n")
    assert content.count(b"data: ") == 3
    assert b"[DONE]" not in content


@pytest.mark.parametrize("streams", [False, True])
async def test_a_chunk_can_have_a_size_that_is_no_number(
    emulator: Emulator, raw_ask: Any, streams: bool
) -> None:
    emulator.faults.add("glm", Fault(cut="bad_chunk"))
    connection = await raw_ask("glm", stream=streams)
    assert b"chunked" in await connection.until(b"\r\n\r\n")
    got, ended = await connection.rest()
    assert got.endswith(b"\r\nnot-a-size\r\n")
    assert ended == "fin"


@pytest.mark.parametrize("streams", [False, True])
async def test_an_answer_can_be_compressed_whole_or_cut(
    emulator: Emulator, raw_ask: Any, streams: bool
) -> None:
    end = b"0\r\n\r\n" if streams else b""
    for kind in ("whole", "cut"):
        emulator.faults.add("kimi", Fault(gzip=kind))
        connection = await raw_ask("kimi", stream=streams)
        head = await connection.until(b"\r\n\r\n")
        assert b"Content-Encoding: gzip" in head
        if streams:
            size = int(await connection.until(b"\r\n"), 16)
        else:
            size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        data = await connection.reader.readexactly(size)
        if kind == "whole":
            assert b"[emulated kimi-k3]" in gzip.decompress(data) or streams
            assert gzip.decompress(data).endswith(b"data: [DONE]\n\n" if streams else b"}")
        else:
            with pytest.raises(EOFError):
                gzip.decompress(data)
            assert zlib.decompressobj(31).decompress(data)
        if end:
            assert (await connection.until(end)).endswith(end)


async def test_headers_of_any_answer_can_be_changed(emulator: Emulator, ask: Any) -> None:
    for streams in (False, True):
        emulator.faults.add("glm", Fault(headers={"content-type": "text/plain", "X-LOG-ID": None}))
        reply = await ask("glm", stream=streams)
        assert (reply.status, reply.headers["Content-Type"]) == (200, "text/plain")
        assert "X-LOG-ID" not in reply.headers


async def test_headers_can_be_huge(emulator: Emulator, raw_ask: Any) -> None:
    emulator.faults.add("glm", Fault(headers={"X-Large": "x" * 50_000}))
    connection = await raw_ask("glm")
    assert (await connection.until(b"\r\n\r\n")).count(b"x") >= 50_000


async def test_frames_hold_as_much_text_as_the_script_says(emulator: Emulator, ask: Any) -> None:
    emulator.persona = Persona("long", tokens=40, think_tokens=0, characters_per_frame=50)
    pieces = [
        chunk["choices"][0]["delta"].get("content", "") for chunk in chunks_of(await ask("glm", stream=True))
    ]
    assert [len(piece) for piece in pieces[:-2]] == [50] * (len(pieces) - 2)
    assert "".join(pieces).startswith("[emulated glm-5.3] the owl")


async def test_a_character_can_be_split_between_writes(emulator: Emulator, raw_ask: Any) -> None:
    emulator.faults.add("kimi", Fault(bytes_per_write=1))
    connection = await raw_ask("kimi", stream=True, messages=[{"role": "user", "content": "🦉"}])
    await connection.until(b"\r\n\r\n")
    content = await connection.until(b"[DONE]\n\n")
    assert "🦉".encode() in content


async def test_a_fault_of_one_key_leaves_other_keys_alone(emulator: Emulator, ask: Any) -> None:
    emulator.accounts.open("glm", "second.key")
    emulator.faults.add("glm", Fault(error="1302", key="second.key"))
    assert (await ask("glm")).status == 200
    assert (await ask("glm", key="second.key")).status == 429


async def test_a_fault_by_chance_follows_the_seed(started: Any, post: Any) -> None:
    async def run(seed: int) -> list[int]:
        async with started(EmulatorOptions(seed=seed)) as emulator:
            emulator.faults.add("kimi", Fault(error="overloaded", probability=0.3, times=None))
            return [(await post(emulator, "kimi")).status for _ in range(40)]

    first = await run(1)
    assert first == await run(1)
    assert first != await run(2)
    assert 4 <= first.count(429) <= 22


async def test_a_miss_does_not_use_a_fault_up(emulator: Emulator, ask: Any) -> None:
    emulator.faults.add("kimi", Fault(error="overloaded", probability=0.3, times=2))
    statuses = [(await ask("kimi")).status for _ in range(40)]
    assert statuses.count(429) == 2


async def test_a_fault_can_last_for_a_time_of_the_clock(emulator: Emulator, ask: Any) -> None:
    emulator.clock.stop()
    # The optimistic header says 1 second; it takes 20.
    emulator.faults.add("kimi", Fault(error="rate_limit_rpm", lasts_s=20))
    emulator.clock.advance(100)
    assert [(await ask("kimi")).status for _ in range(3)] == [429] * 3
    emulator.clock.advance(1)
    assert (await ask("kimi")).headers["Retry-After"] == "1"
    emulator.clock.advance(18.9)
    assert (await ask("kimi")).status == 429
    emulator.clock.advance(0.1)
    assert (await ask("kimi")).status == 200
    assert emulator.faults.queued == []


async def test_stats_tell_every_kind_of_fault_that_struck(emulator: Emulator, http: Any, ask: Any) -> None:
    emulator.faults.add("glm", Fault(error="1302", times=2))
    emulator.faults.add("glm", Fault(usage="none"))
    for _ in range(3):
        await ask("glm")
    async with http.get(f"{emulator.addresses.control}/_ctl/stats") as response:
        stats = json.loads(await response.read())
    assert stats["providers"]["glm"]["faults_by_kind"] == {"error=1302": 2, "usage=none": 1}


def test_an_impossible_choice_is_refused() -> None:
    for wrong in ({"probability": 0}, {"probability": 1.5}, {"lasts_s": 0}):
        with pytest.raises(ValueError, match="fault"):
            Fault(**wrong)
