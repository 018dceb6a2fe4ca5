"""What a whole daemon makes of calls that fail: groups that agree with the journal, spans, and the row of its run."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from exai.error_tracking.console import GroupLine
from exai_emulator import Emulator, Fault, Persona
from support.daemon_in_process import StartInProcess
from support.mcp_websocket import mcp_socket
from support.waiting import wait_until

pytestmark = pytest.mark.virtual_time


def rows(data_dir: Path, query: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(data_dir / "exai.sqlite") as database:
        return database.execute(query).fetchall()


async def test_a_failed_call_says_what_is_known_of_its_group(
    start_in_process: StartInProcess, emulator: Emulator, tmp_path: Path
) -> None:
    emulator.faults.add("kimi", Fault(error="server_error", times=None))
    async with start_in_process(EXAI_RETRY__MAX_RETRIES="0") as daemon, mcp_socket(daemon.mcp_ws) as socket:

        async def facts() -> dict[str, Any]:
            answer = await socket.tool("chat", {"prompt": "Hello.", "model": "kimi-k3"})
            return dict(answer["_meta"]["exai/error"])

        first = await facts()
        assert "group" not in first, "it is the first of its kind"

        async def is_known() -> bool:
            ((hash_,),) = rows(tmp_path / "data", "SELECT max(hash) FROM error_fingerprints")
            return daemon.services.faults.known.find(str(hash_)) is not None

        await wait_until(is_known, what="the group is read")
        second = await facts()
        assert (second["group"], second["seen"], second["state"]) == ("E-1", 2, "open")
        assert second["cause"]


async def test_what_a_caller_got_wrong_is_told_without_how_others_fared(
    start_in_process: StartInProcess, tmp_path: Path
) -> None:
    async with start_in_process() as daemon, mcp_socket(daemon.mcp_ws) as socket:

        async def facts() -> dict[str, Any]:
            answer = await socket.tool("chat", {"prompt": "Hello.", "continuation_id": "conv_nobody"})
            return dict(answer["_meta"]["exai/error"])

        await facts()

        async def is_known() -> bool:
            found = rows(tmp_path / "data", "SELECT hash FROM error_fingerprints")
            return any(daemon.services.faults.known.find(str(hash_)) is not None for (hash_,) in found)

        await wait_until(is_known, what="the group is read")
        assert (await facts()).keys().isdisjoint({"group", "seen", "state", "cause"})


async def test_calls_that_fail_are_grouped_counted_and_explained(
    start_in_process: StartInProcess, emulator: Emulator, tmp_path: Path
) -> None:
    emulator.persona = Persona(think_tokens=0)
    emulator.faults.add("glm", Fault(error="1302", times=1))
    emulator.faults.add("kimi", Fault(error="invalid_request", times=None))
    async with start_in_process() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        for model in ("glm-5.3", "kimi-k3", "kimi-k3", "no-such-model"):
            await socket.tool("chat", {"prompt": "Hello.", "model": model})
        console = daemon.services.faults.console

        async def counted() -> dict[str | None, GroupLine]:
            groups = {group.code: group for group in await console.listed(state=None)}
            return groups if sum(group.seen for group in groups.values()) == 4 else {}

        groups = await wait_until(counted, what="all four faults are counted")
        assert {code: (group.seen, group.handled) for code, group in groups.items()} == {
            "provider_throttled": (1, 1),
            "provider_refused": (2, 0),
            "unknown_model": (1, 0),
        }
        shown = await console.shown(int(groups["provider_refused"].group.removeprefix("E-")))
        assert shown.report.cause == "caller's"
        assert shown.group.place
        assert shown.latest is not None
        assert shown.latest["call_id"].startswith("call_")
    data = tmp_path / "data"
    failed = rows(
        data, "SELECT count(*), count(error_hash), sum(error_counted) FROM calls WHERE outcome = 'failed'"
    )
    assert failed == [(3, 3, 3)]
    spans = rows(data, "SELECT spans FROM call_spans JOIN calls USING (call_id) WHERE outcome = 'failed'")
    assert len(spans) == 3
    assert sum("failed_requests_ms" in text for (text,) in spans) == 2
    assert rows(data, "SELECT count(*), max(state), max(fault_batch) > 0 FROM replicas") == [(1, "gone", 1)]
    assert rows(
        data, "SELECT sum(calls) FROM use_counts WHERE kind = 'outcome' AND name = 'provider_refused'"
    ) == [(2,)]
