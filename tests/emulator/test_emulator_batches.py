"""Batches at Kimi, as the openai client sees them."""

import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from exai_emulator import Emulator

CHAT = "/v1/chat/completions"


def line(custom_id: str, model: str = "kimi-k2.6", **fields: Any) -> dict[str, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": custom_id}], **fields}
    return {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body}


@pytest.fixture
async def kimi(emulator: Emulator) -> AsyncIterator[openai.AsyncOpenAI]:
    there = emulator.addresses
    async with openai.AsyncOpenAI(base_url=there.kimi, api_key=there.kimi_key, max_retries=0) as client:
        yield client


async def begun(kimi: openai.AsyncOpenAI, *lines: dict[str, Any], **changes: Any) -> Any:
    content = "\n".join(map(json.dumps, lines)).encode()
    file = await kimi.files.create(file=("a.jsonl", content), purpose="batch")
    order = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h", **changes}
    return await kimi.batches.create(**order)


async def test_a_batch_is_answered_into_a_file(kimi: openai.AsyncOpenAI, emulator: Emulator) -> None:
    emulator.clock.stop()
    emulator.accounts["kimi"].state.task_s = 60
    batch = await begun(kimi, line("one"), line("two"), line("three", temperature=0.1))
    assert (batch.status, batch.object, batch.request_counts.total) == ("validating", "batch", 3)
    assert (await kimi.batches.retrieve(batch.id)).status == "in_progress"
    emulator.clock.advance(60)
    done = await kimi.batches.retrieve(batch.id)
    assert done.request_counts is not None
    assert (done.status, done.request_counts.completed, done.request_counts.failed) == ("completed", 2, 1)
    answers = [
        json.loads(each) for each in (await kimi.files.content(done.output_file_id or "")).text.splitlines()
    ]
    assert [each["custom_id"] for each in answers] == ["one", "two"]
    said = answers[0]["response"]["body"]["choices"][0]["message"]["content"]
    assert said == "[emulated kimi-k2.6] one"
    errors = (await kimi.files.content(done.error_file_id or "")).text
    assert "invalid temperature" in errors
    assert [each.id async for each in kimi.batches.list()] == [batch.id]


async def test_a_batch_can_be_cancelled_and_can_fail(kimi: openai.AsyncOpenAI, emulator: Emulator) -> None:
    emulator.accounts["kimi"].state.task_s = 3_600
    batch = await begun(kimi, line("one"))
    assert (await kimi.batches.cancel(batch.id)).status == "cancelling"
    assert (await kimi.batches.retrieve(batch.id)).status == "cancelled"
    for lines in ((line("one"), line("one")), (line("one"), line("two", "kimi-k2.7-code"))):
        failed = await kimi.batches.retrieve((await begun(kimi, *lines)).id)
        assert failed.status == "failed"
        assert failed.errors is not None


@pytest.mark.parametrize(
    "change",
    [
        {"endpoint": "/v1/embeddings"},
        {"completion_window": "1h"},
        {"completion_window": "8d"},
        {"input_file_id": "x"},
    ],
)
async def test_orders_are_checked(kimi: openai.AsyncOpenAI, change: dict[str, str]) -> None:
    with pytest.raises(openai.BadRequestError):
        await begun(kimi, line("one"), **change)


async def test_an_unknown_batch_is_not_found(kimi: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        await kimi.batches.retrieve("batch_none")
