"""What the dashboard's page costs in a browser, for `scripts/bench dashboard`: its first load, how late a breaker is on
it, a long list scrolled to its end, the feed at 1,000 events a second; and whether waterfalls say what the journal
says."""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from itertools import pairwise
from typing import Any

import aiohttp
from playwright.async_api import Page
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from benchmarks.calls import Client
from exai.routing.ledger import Stage
from exai_emulator import Emulator, Fault
from support.browsers import BrowserProcess, Tab
from support.waiting import wait_until

__all__ = ["breakers", "feed", "first_load", "long_list", "waterfalls"]

IS_LIVE = """() => {
  const isLive = document.querySelector(".status .badge")?.textContent === "● live";
  return isLive && document.querySelector("main .facts") ? performance.now() : null;
}"""
LOADED = """() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
  .filter(({ name }) => !name.includes("/api/"))
  .map(({ encodedBodySize, decodedBodySize }) => [encodedBodySize, decodedBodySize])"""
WATCH_BREAKER = """() => {
  window.turns = [];
  let was = false;
  new MutationObserver(() => {
    const is = document.querySelector("main tr.is-bad") !== null;
    if (is !== was) window.turns.push([is, Date.now()]);
    was = is;
  }).observe(document.querySelector("main"), { subtree: true, childList: true, attributes: true });
}"""
WATCH_TASKS = """() => {
  window.longest = 0;
  new PerformanceObserver((list) => {
    for (const each of list.getEntries()) window.longest = Math.max(window.longest, each.duration);
  }).observe({ type: "longtask" });
}"""
SCROLL = """async ([rows, step]) => {
  const box = document.querySelector("main .scroll.tall");
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  let [most, longest, seen] = [0, 0, 0];
  let before = await frame();
  while (seen < rows && seen + 1 < 10 * rows) {
    box.scrollTop += step;
    const now = await frame();
    longest = Math.max(longest, now - before);
    before = now;
    const shown = box.querySelectorAll("tbody tr:not(.space)");
    most = Math.max(most, shown.length);
    seen = Math.round((box.scrollTop + box.clientHeight) / 32);
  }
  return [most, longest, seen];
}"""
AT_ONCE = 16
SHARE_OF_FAILURES = 0.4


async def first_load(browser: BrowserProcess, operations: str, loads: int) -> dict[str, float]:
    """Load the page in fresh profiles, until its figures are live (D2)."""
    took: list[float] = []
    for _ in range(loads):
        async with browser.tab() as tab:
            await tab.open(operations)
            took.append(await wait_until(lambda tab=tab: tab.evaluate(IS_LIVE), what="live figures"))  # type: ignore[misc]
            loaded = await tab.evaluate(LOADED)
    return {
        "slowest_load_until_live_ms": round(max(took), 1),
        "median_load_until_live_ms": round(sorted(took)[len(took) // 2], 1),
        "first_load_raw_kb": round(sum(raw for _, raw in loaded) / 1000, 1),
        "first_load_compressed_kb": round(sum(sent for sent, _ in loaded) / 1000, 1),
    }


async def breakers(
    browser: BrowserProcess, emulator: Emulator, addresses: dict[str, str], rounds: int
) -> dict[str, float]:
    """Open a breaker and close it while somebody looks at Providers (D1)."""
    operations, late, gone = addresses["operations"], [], []
    async with (
        browser.tab() as tab,
        connect(addresses["mcp_ws"], subprotocols=[Subprotocol("mcp")], proxy=None) as socket,
        aiohttp.ClientSession(operations, headers={"Origin": operations}) as http,
    ):
        client = Client(socket)
        listening = asyncio.ensure_future(client.listen())
        await client.handshake()
        await tab.open(f"{operations}/providers")
        await tab.settled()
        await tab.evaluate(WATCH_BREAKER)
        for number in range(rounds):
            emulator.faults.add("kimi", Fault(error="server_error", times=None))
            while (opened := await _opened_at(http)) is None:
                await client.answer(f"Fail {number}.", model="kimi-k3")
            emulator.faults.clear()
            turns = await wait_until(partial(_turns, tab, 2 * number + 1), what="an open breaker on the page")
            late.append(turns[-1][1] - opened)
            closed = time.time() * 1000
            async with http.post(
                "/api/breakers/close", json={"provider": "kimi", "model": "kimi-k3"}
            ) as told:
                assert told.status == 200
            turns = await wait_until(partial(_turns, tab, 2 * number + 2), what="no open breaker on the page")
            gone.append(turns[-1][1] - closed)
        listening.cancel()
    return {
        "slowest_open_breaker_on_the_page_ms": round(max(late), 1),
        "slowest_closed_breaker_off_the_page_ms": round(max(gone), 1),
    }


async def _opened_at(http: aiohttp.ClientSession) -> float | None:
    """When the breaker of kimi-k3 opened, in milliseconds since 1970; `None`: it is not open."""
    async with http.get("/api/feed/providers") as answer:
        providers = (await answer.json())["full"]["providers"]
    (models,) = (each["models"] for each in providers if each["name"] == "kimi")
    (breaker,) = (each["breaker"] for each in models if each["model"] == "kimi-k3")
    if breaker["state"] != "open":
        return None
    return datetime.fromisoformat(breaker["since"]).timestamp() * 1000


async def _turns(tab: Tab, least: int) -> list[Any] | None:
    turns: list[Any] = await tab.evaluate("() => window.turns")
    return turns if len(turns) >= least else None


async def long_list(browser: BrowserProcess, operations: str, rows: int) -> dict[str, float]:
    """Scroll through the latest calls of a large journal (D4)."""
    async with browser.tab() as tab:
        await tab.open(f"{operations}/calls?from=-30d")
        await tab.see("main [data-row]")
        most, longest, seen = await tab.evaluate(SCROLL, [rows, 640])
    return {
        "scrolled_rows": seen,
        "most_row_elements": most,
        "longest_frame_of_scrolling_ms": round(longest, 1),
    }


async def feed(
    browser: BrowserProcess, operations: str, publish: Callable[[float], None], rate: float, seconds: float
) -> dict[str, float]:
    """Look at Live while that many events are published each second (D3)."""
    async with browser.tab() as tab, aiohttp.ClientSession(operations) as http:
        await tab.open(operations)
        await wait_until(lambda: tab.evaluate(IS_LIVE), what="live figures")
        await tab.evaluate(WATCH_TASKS)
        before = await tab.do(_heap)
        publish(rate)
        await asyncio.sleep(seconds)
        publish(0)
        after = await tab.do(_heap)

        async def agree() -> bool:
            async with http.get("/api/feed/live") as answer:
                calls = (await answer.json())["full"]["hour"]["calls"]
            shown = await tab.text("section[aria-labelledby=the-last-hour] .facts dd")
            return shown == f"{calls:,}"

        await wait_until(agree, what="a page that has every call")
        longest = await tab.evaluate("() => window.longest")
    return {
        "page_seconds_of_feed": seconds,
        "longest_task_of_the_page_ms": round(longest, 1),
        "heap_growth_of_the_page_mb": round((after - before) / 1e6, 2),
    }


async def _heap(page: Page) -> float:
    """The page's heap after a collection, in bytes."""
    session = await page.context.new_cdp_session(page)
    await session.send("HeapProfiler.collectGarbage")
    used = (await session.send("Runtime.getHeapUsage"))["usedSize"]
    await session.detach()
    return float(used)


async def waterfalls(emulator: Emulator, addresses: dict[str, str], calls: int) -> dict[str, float]:
    """Make calls that are repeated and fall back, and compare kept spans with the stages in the journal (D6)."""
    operations, prompts = addresses["operations"], iter(range(calls))
    async with (
        connect(addresses["mcp_ws"], subprotocols=[Subprotocol("mcp")], proxy=None, max_size=None) as socket,
        aiohttp.ClientSession(operations) as http,
    ):
        client = Client(socket)
        listening = asyncio.ensure_future(client.listen())
        await client.handshake()
        for provider, error in (("glm", "1305"), ("kimi", "server_error")):
            emulator.faults.add(provider, Fault(error=error, times=None, probability=SHARE_OF_FAILURES))

        async def ask() -> list[str]:
            ids = []
            for number in prompts:
                other = "kimi-k3" if number % 2 else "glm-5.3"
                result = await client.answer(
                    f"Number {number}.",
                    model="glm-5.3" if number % 2 else "kimi-k3",
                    fallback_models=[other],
                )
                meta = result["result"]["_meta"]
                ids.append(str((meta.get("exai/report") or meta["exai/error"])["call_id"]))
            return ids

        ids = [each for some in await asyncio.gather(*(ask() for _ in range(AT_ONCE))) for each in some]
        emulator.faults.clear()
        await asyncio.sleep(2)
        listening.cancel()
        asked = [await _call(http, each) for each in ids]
        documents = [each for each in asked if each is not None]
    worst = [_difference(each) for each in documents if each["spans"]]
    return {
        "waterfalls": len(worst),
        "calls_whose_page_took_too_long": len(asked) - len(documents),
        "waterfalls_with_repeats": sum(
            any(span["attempt"] > 1 for span in each["spans"] or ()) for each in documents
        ),
        "waterfalls_with_fallbacks": sum(each["requests_total"] > 1 for each in documents),
        "worst_stage_beside_the_journal_ms": round(max(worst), 3),
    }


async def _call(http: aiohttp.ClientSession, call_id: str) -> Any:
    """The document of a call; `None` where its statements took longer than they may."""
    async with http.get(f"/api/calls/{call_id}") as answer:
        assert answer.status in {200, 503}, await answer.text()
        return await answer.json() if answer.status == 200 else None


def _difference(call: Any) -> float:
    """By how many milliseconds a stage of the journal differs at most from its spans."""
    spent = _by_stage(call["spans"])
    stages = [stage.value for stage in Stage if stage.value in call["timings"]]
    difference: float = max(abs(spent.get(stage, 0.0) - call["timings"][stage]) for stage in stages)
    return difference


def _by_stage(spans: Sequence[Any]) -> dict[str, float]:
    """Milliseconds by stage; a moment in which several are under way is that of the first in their order."""
    ranks = [stage.value for stage in Stage]
    moments = sorted({span[end] for span in spans for end in ("began_ms", "ended_ms")})
    spent: dict[str, float] = {}
    for begun, ended in pairwise(moments):
        under_way = {
            span["stage"] for span in spans if span["began_ms"] <= begun and span["ended_ms"] >= ended
        }
        if under_way:
            first = min(under_way, key=ranks.index)
            spent[first] = spent.get(first, 0.0) + ended - begun
    return spent
