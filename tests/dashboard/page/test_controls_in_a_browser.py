"""What is pressed on the dashboard is done at the daemon, after a second press where it destroys, and is told."""

import json
from typing import Any

from support.browsers import BrowserProcess
from support.waiting import wait_until
from support.watched_daemon import RUNNING_CALLS, WatchedDaemon


async def test_a_call_is_cancelled_by_a_second_press(browser: BrowserProcess, busy: WatchedDaemon) -> None:
    async with browser.tab() as tab:
        await tab.open(busy.address)
        await tab.see(f"text=Calls running: {RUNNING_CALLS}")
        await tab.press("j", "x")
        await tab.see("button.armed")
        assert busy.emulator.log.in_flight == RUNNING_CALLS
        await tab.press("x")
        await tab.see(f"text=Calls running: {RUNNING_CALLS - 1}")
        await wait_until(
            lambda: busy.emulator.log.in_flight == RUNNING_CALLS - 1, what="a request that the provider lost"
        )
        assert await tab.text(".notices p")
        await tab.see("main >> text=cancelled_by_operator")


async def test_a_breaker_is_closed(browser: BrowserProcess, busy: WatchedDaemon) -> None:
    async with browser.tab() as tab:
        await tab.open(f"{busy.address}/providers")
        await tab.see("tr.is-bad")
        await tab.do(lambda page: page.get_by_role("button", name="Close breaker").click())
        await tab.do(lambda page: page.get_by_role("button", name="Close it now?").click())
        await tab.do(lambda page: page.locator("tr.is-bad").wait_for(state="detached"))
        assert await tab.text(".notices p")

    async def is_closed() -> bool:
        return '"breakers": []' in json.dumps(await busy.document("/api/feed/status"))

    await wait_until(is_closed, what="no open breaker")


async def test_a_group_is_resolved_and_opened_again(browser: BrowserProcess, busy: WatchedDaemon) -> None:
    async with browser.tab() as tab:
        await tab.open(f"{busy.address}/errors")
        await tab.see("main [data-row]")
        await tab.press("j")
        group = await tab.evaluate("() => document.activeElement.textContent")
        await tab.press("r", "r")
        await tab.do(
            lambda page: page.locator(f"main [data-row]:text-is('{group}')").wait_for(state="detached")
        )
        await tab.open(f"{busy.address}/errors/{group}")
        await tab.settled()
        assert "resolved" in await tab.text("main")
        await tab.do(lambda page: page.get_by_role("button", name="reopen").click())
        await tab.do(lambda page: page.get_by_role("button", name="reopen: press again").click())
        await tab.see(".badge.bad >> text=open")


async def test_groups_are_merged_and_split_again(browser: BrowserProcess, busy: WatchedDaemon) -> None:
    async def groups() -> Any:
        return (await busy.document("/api/errors"))["groups"]

    async def are_two() -> bool:
        return len(await groups()) >= 2

    await wait_until(are_two, what="two groups of what failed")
    listed = await groups()
    into, other = (each["group"] for each in listed[:2])
    async with browser.tab() as tab:
        await tab.open(f"{busy.address}/errors/{into}")
        await tab.settled()
        assert await tab.texts("text=Split it off") == []
        await tab.do(lambda page: page.get_by_label("Merge").fill(other))
        await tab.do(lambda page: page.get_by_role("button", name=f"merge {other} into it").click())
        await tab.do(lambda page: page.get_by_role("button", name="Merge: press again").click())
        await tab.see("text=Split it off")
        await tab.do(lambda page: page.get_by_role("button", name="Split it off").last.click())
        await tab.do(lambda page: page.get_by_role("button", name="Make it a group of its own?").click())
        await tab.do(lambda page: page.locator("text=Split it off").first.wait_for(state="detached"))
        assert await tab.text(".notices p")
    assert len(await groups()) == len(listed)


async def test_calls_are_found_by_terms_and_by_id(browser: BrowserProcess, busy: WatchedDaemon) -> None:
    async with browser.tab() as tab:
        await tab.open(busy.address)
        await tab.settled()
        await tab.press("/")
        await tab.do(lambda page: page.keyboard.type("outcome:ok model:glm*"))
        await tab.press("Enter")
        await tab.see("h1:text-is('Calls')")
        await tab.see("main >> text=3 calls.")
        assert (
            await tab.evaluate("() => new URLSearchParams(location.search).get('q')")
            == "outcome:ok model:glm*"
        )
        await tab.do(lambda page: page.get_by_label("Without model:glm*").click())
        await tab.see("main >> text=6 calls.")
        call = await tab.text("main [data-row]")
        await tab.do(lambda page: page.locator("#search").fill(call))
        await tab.do(lambda page: page.locator("#search").press("Enter"))
        await tab.see(f"h1:has-text('{call}')")


async def test_a_filter_that_hides_everything_offers_to_go(
    browser: BrowserProcess, busy: WatchedDaemon
) -> None:
    async with browser.tab() as tab:
        await tab.open(f"{busy.address}/calls?q=tool:nothing")
        await tab.see("text=matches all of these terms")
        await tab.do(lambda page: page.get_by_role("button", name="Show all calls of this time").click())
        await tab.see("main [data-row]")
        for query, named in (("what:is-this", "tool:"), ("outcome:nope", "outcome:timed_out")):
            await tab.open(f"{busy.address}/calls?q={query}")
            await tab.see(".refused")
            assert named in await tab.text(".refused")
