"""A model that is named is asked at its own provider under its own name, whatever happens around it."""

import asyncio
import random
from typing import Any

from exai.errors import ToolFault
from exai.messages import Effort
from exai.providers.catalog import Catalog, Retired
from exai_emulator import Fault

CALLS = 1_000


async def test_a_named_model_never_reaches_another_provider(desk: Any) -> None:
    rng = random.Random(20261122)
    catalog = Catalog.load()
    names = [
        *catalog.names, *catalog.retired, *(alias for model in catalog.models.values() for alias in model.aliases),
        "GLM-5.3", "KIMI-K3", "local/tiny", "LOCAL/TINY", "gpt-5", "glm-6", "kimi", "other/tiny", "",
    ]  # fmt: skip
    errors = {
        "glm": ("1302", "1305", "1113", "1211", "500", "redirect"),
        "kimi": ("overloaded", "rate_limit_rpm", "quota", "not_found", "server_error", "redirect"),
        "custom": ("rate_limit", "overloaded", "model_not_found", "server_error"),
    }
    expected: dict[str, tuple[str, str]] = {}
    together = asyncio.Semaphore(32)

    async def one(number: int) -> bool:
        name = rng.choice(names)
        mark = f"call-{number}-"
        entry = catalog.find(name)
        if isinstance(entry, Retired):
            entry = catalog.models[entry.successor] if entry.resolves else None
        if entry is not None:
            expected[mark] = (entry.provider, entry.wire_name)
        elif name.casefold() == "local/tiny":
            expected[mark] = ("custom", "tiny")
        ask = rng.choice((desk.ask, desk.ask_streaming))
        if rng.random() < 0.3:
            provider = rng.choice(list(errors))
            fault = rng.choice(
                [
                    Fault(error=rng.choice(errors[provider])),
                    Fault(cut="reset", at="before_headers"),
                    Fault(cut="close"),
                ]
            )
            desk.emulator.faults.add(provider, fault)
        async with together:
            try:
                answer = await ask(
                    name,
                    mark,
                    effort=rng.choice((None, *Effort)),
                    temperature=rng.choice((None, 0.5)),
                    web_search=rng.random() < 0.2,
                )
            except ToolFault:
                return False
        provider, wire_name = expected[mark]
        assert answer.provider == ("local" if provider == "custom" else provider)
        assert answer.text == f"[emulated {wire_name}] {mark}"
        return True

    answered = sum(await asyncio.gather(*(one(number) for number in range(CALLS))))

    requests = desk.emulator.log.requests
    assert len(requests) > CALLS / 2
    assert answered > CALLS / 3
    for record in requests:
        mark = record.body["messages"][-1]["content"]
        assert (record.provider, record.body["model"]) == expected[mark]
