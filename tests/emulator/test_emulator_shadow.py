"""The emulator can be held against a service; here another emulator plays it."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from typing import Any

import pytest

from exai_emulator import Emulator, EmulatorOptions, Fault, Persona
from exai_emulator.shadow import PROBES, compare, differences, shape_of


async def run(*arguments: str, key: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "exai_emulator.shadow",
        *arguments,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate(key.encode())
    return process.returncode or 0, out.decode(), err.decode()


@pytest.mark.parametrize("provider", PROBES)
async def test_a_service_that_is_like_it_differs_in_nothing(started: Any, provider: str) -> None:
    async with started(EmulatorOptions(seed=9)) as service:
        there = service.addresses
        assert await compare(provider, getattr(there, provider), getattr(there, f"{provider}_key")) == []
        assert len(service.log.of(provider)) == len(PROBES[provider][1])


async def test_differences_are_reported_by_shape_without_values(emulator: Emulator) -> None:
    emulator.persona = Persona("fixed", text="a private answer")
    emulator.faults.add(
        "kimi", Fault(usage="none", headers={"Msh-Org-Id": "org-private", "X-New": "private"})
    )
    emulator.rules.set("kimi.temperature.fixed", on=False)
    there = emulator.addresses
    code, out, err = await run("kimi", there.kimi, key=there.kimi_key)
    assert (code, err) == (1, "")
    lines = out.splitlines()
    assert "an answer: body.usage: only the emulator has it" in lines
    assert "an answer: header x-new: only the service has it" in lines
    assert "a temperature: status: 400 here, 200 there" in lines
    assert not any(line.startswith(("a stream", "low effort", "no messages")) for line in lines)
    assert "private" not in out
    assert there.kimi_key not in out


async def test_without_a_key_or_a_service_it_says_so() -> None:
    code, _, err = await run("kimi", "http://127.0.0.1:1/v1", key="\n")
    assert (code, err) == (2, "There is no key; give it as a line of input.\n")
    assert (await run("openai", "http://127.0.0.1:1/v1", key="sk-private"))[0] == 2
    code, out, err = await run("kimi", "http://127.0.0.1:1/v1", key="sk-private")
    assert (code, out) == (2, "")
    assert err == "The service could not be asked: ClientConnectorError.\n"


def test_shapes_strike_out_ids() -> None:
    message = "Your account org-123abc<ak-9f> request reached organization max RPM: 3"
    assert shape_of({"error": {"message": message, "type": "t"}, "id": "chatcmpl-1", "n": [1, 2]}) == {
        "error": {"message": "Your account <id><<id>> request reached organization max RPM: 3", "type": "t"},
        "id": "str",
        "n": ["int"],
    }
    assert list(differences({"a": ["x"]}, {"a": ["y"], "b": 1})) == [
        '.a[0]: "x" here, "y" there',
        ".b: only the service has it",
    ]
