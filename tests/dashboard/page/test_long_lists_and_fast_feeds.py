"""Lists of ten thousand rows, and a feed of a thousand events a second: the page holds few rows, and loses none."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from exai import config
from exai.callers import Caller, Door
from exai.events.events import CallEnded, CallStarted
from exai.storage.database import Database
from exai.storage.database_file import FILE_NAME
from exai_emulator import Emulator
from support.browsers import BrowserProcess
from support.daemon_in_process import daemon_in_process
from support.emulated import provider_environment
from support.journal_rows import call_row, write_calls
from support.migrated_databases import migrated_sqlite
from support.waiting import wait_until
from support.watched_daemon import watched_daemon

ROWS = 10_000
MOST_ELEMENTS = 80
SCROLL = """async () => {
  const box = document.querySelector("main .scroll.tall");
  const seen = new Set();
  let most = 0;
  let still = 0;
  while (still < 600) {
    const rows = [...box.querySelectorAll("tbody tr:not(.space)")];
    const before = seen.size;
    for (const row of rows) seen.add(row.querySelector("[data-row]").textContent);
    most = Math.max(most, rows.length);
    still = seen.size === before ? still + 1 : 0;
    const isAtTheEnd = box.scrollTop + box.clientHeight >= box.scrollHeight - 1;
    const hasAll = !document.querySelector("main .scroll.tall + p").textContent.includes("so far");
    if (isAtTheEnd && hasAll) break;
    box.scrollTop += box.clientHeight;
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  }
  for (const row of box.querySelectorAll("tbody [data-row]")) seen.add(row.textContent);
  return [[...seen], most];
}"""
SECONDS = 3
CALLS_A_SECOND = 500
"""Each of which is two events."""
STEP_S = 0.02


async def test_ten_thousand_calls_are_scrolled_to_the_end_with_few_rows_at_once(
    browser: BrowserProcess, emulator: Emulator, tmp_path: Path
) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir(mode=0o700)
    migrated_sqlite(data_dir / FILE_NAME)
    database = await Database.open(config.Database(), data_dir)
    now = datetime.now(UTC)
    ids = [f"call_{number:05}" for number in range(ROWS)]
    await write_calls(
        database, (call_row(each, now - timedelta(seconds=number)) for number, each in enumerate(ids))
    )
    await database.close()
    async with watched_daemon(emulator, data_dir, is_empty=True) as daemon, browser.tab() as tab:
        await tab.open(f"{daemon.address}/calls?from=-7d")
        await tab.see("main [data-row]")
        seen, most = await tab.evaluate(SCROLL)
    assert set(ids) <= set(seen)
    assert most <= MOST_ELEMENTS


async def test_a_thousand_events_a_second_lose_no_row_and_no_count(
    browser: BrowserProcess, emulator: Emulator, tmp_path: Path
) -> None:
    caller = Caller("alice", Door.WEBSOCKET, "test")
    timings = {"latency_ms": 200.0, "first_token_ms": 50.0}
    environ = provider_environment(emulator)
    async with (
        daemon_in_process(data_dir=tmp_path / "data", environ=environ, wall=time.time()) as daemon,
        browser.tab() as tab,
    ):
        publish = daemon.services.monitoring.bus.publish
        await tab.open(daemon.operations)
        await tab.see("text=Nothing runs.")
        total = SECONDS * CALLS_A_SECOND
        for number in range(total):
            call_id = f"call_fast_{number:05}"
            publish(CallStarted(call_id, "chat", caller))
            code = None if number % 10 else "overloaded"
            outcome = "failed" if code else "ok"
            publish(CallEnded(call_id, "chat", caller, outcome, code, "glm", "glm-5.3", timings, ()))
            if number % int(CALLS_A_SECOND * STEP_S) == 0:
                await asyncio.sleep(STEP_S)
        latest = [f"call_fast_{number:05}" for number in range(total - 1, total - 51, -1)]

        async def has_all() -> bool:
            hour: Any = await tab.texts("section[aria-labelledby=the-last-hour] .facts dd")
            shown = await tab.texts("section[aria-labelledby=the-last-calls-that-ended] [data-row]")
            return hour[:2] == [f"{total:,}", f"{total // 10:,} (10.0 %)"] and shown == latest

        await wait_until(has_all, what="a page that has every call")
        assert await tab.texts("section[aria-labelledby=running] tbody tr") == []
        assert [each for each in tab.complaints if not each.startswith("Failed to load resource")] == []
