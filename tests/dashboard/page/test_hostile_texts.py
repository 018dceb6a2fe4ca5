"""Texts of others in every field that the dashboard shows are shown as text: nothing of them runs or is an element."""

import json
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from exai import config
from exai.error_tracking.ingestion.intake import sha256_of
from exai.runtime.clock import SystemClock
from exai.storage.auditor.observations import Observations, Seen
from exai.storage.database import Database
from exai.storage.error_tracking.projects import ProjectTables
from exai_emulator import Emulator, Fault, Persona
from support.browsers import BrowserProcess, Tab
from support.waiting import wait_until
from support.watched_daemon import WatchedDaemon, watched_daemon

PAYLOADS = (
    "<img src=x onerror=\"window.ran='img'\">",
    "<script>window.ran='script'</script>",
    '"><svg onload="window.ran=\'svg\'">',
    "javascript:window.ran='address'",
    "{{constructor.constructor('window.ran=1')()}}",
    "${window.ran='template'}",
)
MIXED = " ".join(PAYLOADS)
ELEMENTS = """() => [...document.querySelectorAll(
  "img, svg, iframe, object, embed, body script, [onerror], [onload], a[href^='javascript:']")].length"""
PAGES = (
    "/",
    "/calls",
    "/errors",
    "/auditor",
    "/providers",
    "/connections",
    "/usage",
    "/baselines",
    "/system",
)


async def report_everything(daemon: WatchedDaemon, data_dir: Path) -> None:
    """Have a program report errors whose every text is hostile."""
    database = await Database.open(config.Database(), data_dir)
    key = secrets.token_hex(16)
    made = await ProjectTables(database, SystemClock()).create(MIXED[:60], "public", sha256_of(key))
    await database.close()
    assert made is not None
    frames = [{"module": MIXED, "function": MIXED, "filename": MIXED, "lineno": 3, "in_app": True}]
    address = f"{daemon.daemon.errors}/api/{made.project_id}/store/?sentry_key={key}&sentry_version=7"
    async with aiohttp.ClientSession() as http:
        for payload in (*PAYLOADS, MIXED):
            value = {"type": payload, "value": payload, "stacktrace": {"frames": frames}}
            event: dict[str, Any] = {
                "event_id": secrets.token_hex(16),
                "exception": {"values": [value]},
                "release": MIXED[:200],
                "environment": payload,
                "transaction": payload,
                "tags": {payload[:30]: payload},
                "server_name": payload,
            }
            async with http.post(address, data=json.dumps(event)) as answer:
                assert answer.status == 200, await answer.text()


async def call_with_everything(daemon: WatchedDaemon) -> None:
    """Call under a hostile name, and name what is not there."""
    async with connect(daemon.daemon.mcp_ws, subprotocols=[Subprotocol("mcp")]) as socket:

        async def ask(number: int, method: str, params: dict[str, Any]) -> None:
            await socket.send(
                json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
            )
            while json.loads(await socket.recv()).get("id") != number:
                pass

        who = {"name": MIXED, "version": MIXED}
        await ask(1, "initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": who})
        await socket.send(json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}))
        for number, payload in enumerate(PAYLOADS, 2):
            arguments = {"prompt": payload, "model": payload, "continuation_id": payload}
            await ask(number, "tools/call", {"name": "chat", "arguments": arguments})
            await ask(number + 100, "tools/call", {"name": payload, "arguments": {}})
        await ask(300, "tools/call", {"name": "chat", "arguments": {"prompt": MIXED}})


async def observe_everything(data_dir: Path) -> None:
    """Keep an observation and a baseline whose texts are hostile."""
    database = await Database.open(config.Database(), data_dir)
    observations = Observations(database, SystemClock())
    for number, payload in enumerate((*PAYLOADS, MIXED)):
        name = f"obs_{number:016x}"
        seen = Seen(name, "loop", payload, "warning", "performance", {payload: payload}, MIXED, 0.0)
        await observations.see(seen)
        await observations.change(name, explanation=payload)
    await database.close()


async def answer_everything(daemon: WatchedDaemon) -> None:
    """Have the provider answer, and refuse, with hostile texts."""
    for payload in (*PAYLOADS, MIXED):
        daemon.emulator.persona = Persona("fixed", text=payload)
        await daemon.client.tool("chat", {"prompt": payload, "model": "kimi-k3"})
        daemon.emulator.faults.add("glm", Fault(error="1210", message=payload))
        refused = await daemon.client.tool("chat", {"prompt": payload, "model": "glm-5.3"})
        assert refused["isError"]
    async with aiohttp.ClientSession(daemon.address, headers={"Origin": daemon.address}) as http:
        for number, payload in enumerate(PAYLOADS):
            body = {
                "name": f"hostile-{number}",
                "note": payload,
                "where": f"tool={payload.replace(' ', '')}",
            }
            async with http.post("/api/baselines", json=body) as answer:
                assert answer.status == 201, await answer.text()


async def nothing_ran(tab: Tab) -> None:
    assert await tab.evaluate("() => window.ran ?? null") is None
    assert await tab.evaluate(ELEMENTS) == 0
    assert [each for each in tab.complaints if not each.startswith("Failed to load resource")] == []


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A folder whose name is hostile, and so is the setting that names it."""
    return tmp_path / PAYLOADS[0]


@pytest.fixture
async def empty(emulator: Emulator, data_dir: Path) -> AsyncIterator[WatchedDaemon]:
    async with watched_daemon(emulator, data_dir, is_empty=True) as started:
        yield started


async def test_texts_of_others_are_texts(
    browser: BrowserProcess, empty: WatchedDaemon, data_dir: Path
) -> None:
    await report_everything(empty, data_dir)
    await call_with_everything(empty)
    await answer_everything(empty)
    await observe_everything(data_dir)

    async def are_counted() -> list[dict[str, Any]]:
        told: dict[str, Any] = await empty.document("/api/errors")
        groups: list[dict[str, Any]] = told["groups"]
        return groups

    groups = await wait_until(are_counted, what="groups of what was reported")
    calls: Any = (await empty.document("/api/calls"))["calls"]
    assert any(PAYLOADS[0] in call["client"] for call in calls)
    pages = [
        *PAGES,
        *(f"/errors/{group['group']}" for group in groups[:3]),
        f"/calls/{calls[0]['call_id']}",
        "/baselines/hostile-0?with=hostile-1",
        f"/baselines/{quote(PAYLOADS[0], safe='')}",
        f"/calls?q={PAYLOADS[0]}",
        f"/errors?matching={PAYLOADS[1]}",
        f"/calls/{PAYLOADS[0]}".replace("/", "%2F").replace("%2Fcalls%2F", "/calls/"),
        f"/?at={PAYLOADS[0]}&from={PAYLOADS[1]}",
    ]
    async with browser.tab() as tab:
        for path in pages:
            await tab.open(empty.address + path)
            await tab.settled()
            await nothing_ran(tab)
        for path in ("/errors", "/auditor", "/baselines", "/system"):
            await tab.open(empty.address + path)
            await tab.settled()
            assert "<img src=x onerror=" in await tab.text("main"), path
