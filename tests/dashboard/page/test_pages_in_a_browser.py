"""The dashboard in a real browser, before a real daemon."""

from typing import Any

import pytest

from exai_emulator import Emulator
from support.browsers import NARROW, WIDE, BrowserProcess, Tab
from support.daemons import free_port
from support.waiting import wait_until
from support.watched_daemon import GOOD_CALLS, RUNNING_CALLS, WatchedDaemon, watched_daemon

PAGES = {
    "/": "Live",
    "/calls": "Calls",
    "/errors": "Errors",
    "/auditor": "Auditor",
    "/providers": "Providers",
    "/connections": "Connections",
    "/usage": "Usage",
    "/baselines": "Baselines",
    "/system": "System",
}
KEYS = dict(zip("lceapsuby", PAGES, strict=True))
SIZES = pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
FIRST_LOAD_RAW = 150_000
FIRST_LOAD_COMPRESSED = 60_000
LOADED = """() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
  .filter(({ name }) => !name.includes("/api/"))
  .map(({ name, encodedBodySize, decodedBodySize }) => [name, encodedBodySize, decodedBodySize])"""


def scripts_of(tab: Tab) -> list[str]:
    """What scripts and the policy complained of; a document that was refused is shown in the page."""
    return [
        each
        for each in tab.complaints
        if not each.startswith(("Failed to load resource", "WebSocket connection"))
    ]


async def faults_of(tab: Tab) -> dict[str, object]:
    """What is wrong with the page that is shown, in its light colours and in its dark ones.

    Axe reads everything once; by another scheme nothing changes but colours.
    """
    found = {
        "axe": await tab.violations(),
        "words": await tab.broken_words(),
        "wide": await tab.overflow(),
    }
    await tab.prefer("dark")
    found["dark"] = await tab.violations("color-contrast")
    await tab.prefer("light")
    found["scripts"] = scripts_of(tab)
    return {name: value for name, value in found.items() if value}


async def pages_with_faults(browser: BrowserProcess, address: str, size: tuple[int, int]) -> object:
    faults = {}
    async with browser.tab(size=size) as tab:
        for path, name in PAGES.items():
            await tab.open(address + path)
            await tab.settled()
            assert await tab.text("h1") == name
            if found := await faults_of(tab):
                faults[path] = found
    return faults


@SIZES
async def test_every_page_with_something_on_it_breaks_no_word_and_no_rule(
    browser: BrowserProcess, busy: WatchedDaemon, size: tuple[int, int]
) -> None:
    assert await pages_with_faults(browser, busy.address, size) == {}
    calls: Any = (await busy.document("/api/calls?q=outcome:failed"))["calls"]
    groups: Any = (await busy.document("/api/errors"))["groups"]
    async with browser.tab(size=size) as tab:
        for path in (
            f"/calls/{calls[0]['call_id']}",
            f"/errors/{groups[0]['group']}",
            "/errors?at=2100-01-01T00:00:00Z&state=all",
            "/baselines/after?with=before",
        ):
            await tab.open(busy.address + path)
            await tab.settled()
            assert await faults_of(tab) == {}, path


@SIZES
async def test_every_empty_page_breaks_no_word_and_no_rule(
    browser: BrowserProcess, empty: WatchedDaemon, size: tuple[int, int]
) -> None:
    assert await pages_with_faults(browser, empty.address, size) == {}


async def test_contrast_is_judged_by_the_scheme_that_is_shown(
    browser: BrowserProcess, empty: WatchedDaemon
) -> None:
    """That the dark colours are looked at: a text that is dark in both is found in the dark ones alone."""
    spoil = """() => {
      const sheet = new CSSStyleSheet();
      sheet.replaceSync("h1 { color: #222 !important; }");
      document.adoptedStyleSheets.push(sheet);
    }"""
    async with browser.tab() as tab:
        await tab.open(empty.address)
        await tab.settled()
        await tab.evaluate(spoil)
        found = await faults_of(tab)
    assert list(found) == ["dark"]


async def test_the_live_page_tells_what_runs_and_what_ended(
    browser: BrowserProcess, busy: WatchedDaemon
) -> None:
    async with browser.tab() as tab:
        await tab.open(busy.address)
        await tab.see("text=Calls running: 2")
        rows = await tab.texts("section[aria-labelledby=running] tbody tr")
        assert len(rows) == RUNNING_CALLS
        assert all("glm/glm-5.3" in row and "local" in row for row in rows)
        endings = await tab.texts("section[aria-labelledby=the-last-calls-that-ended] tbody tr")
        assert sum("● ok" in row for row in endings) == GOOD_CALLS
        assert any("circuit_open" in row for row in endings)
        assert await tab.text(".status .badge") == "● live"


async def test_a_call_that_begins_is_shown_without_asking(
    browser: BrowserProcess, empty: WatchedDaemon
) -> None:
    async with browser.tab() as tab:
        await tab.open(empty.address)
        await tab.see("text=Nothing runs.")
        await empty.begin_long_calls()
        await tab.see(f"text=Calls running: {RUNNING_CALLS}")


async def test_a_breaker_is_shown_with_its_cause_while_it_is_open(
    browser: BrowserProcess, emulator: Emulator, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data_dir = tmp_path_factory.mktemp("breaker") / "data"
    async with (
        watched_daemon(emulator, data_dir, is_empty=True, environ={"EXAI_BREAKER__OPEN_S": "3"}) as daemon,
        browser.tab() as tab,
    ):
        await tab.open(f"{daemon.address}/providers")
        await tab.settled()
        assert await tab.texts("tr.is-bad") == []
        await daemon.open_breaker()
        await tab.see("tr.is-bad")
        assert "provider failed" in await tab.text("tr.is-bad")
        await tab.see(".status >> text=kimi kimi-k3: breaker open")

        async def answers() -> bool:
            return not (await daemon.client.tool("chat", {"prompt": "?", "model": "kimi-k3"})).get("isError")

        await wait_until(answers, what="a breaker that closes")
        await tab.do(lambda page: page.locator("tr.is-bad").wait_for(state="detached"))
        await tab.do(lambda page: page.locator(".status .badge >> text=breaker").wait_for(state="detached"))


async def test_the_first_load_is_small(browser: BrowserProcess, empty: WatchedDaemon) -> None:
    async with browser.tab() as tab:
        await tab.open(empty.address)
        await tab.settled()
        loaded = await tab.evaluate(LOADED)
    assert len(loaded) > 10
    assert sum(raw for _, _, raw in loaded) <= FIRST_LOAD_RAW
    assert sum(compressed for _, compressed, _ in loaded) <= FIRST_LOAD_COMPRESSED


async def test_every_page_and_control_is_reached_by_keys(
    browser: BrowserProcess, busy: WatchedDaemon
) -> None:
    async with browser.tab() as tab:
        await tab.open(busy.address)
        await tab.settled()
        for key, path in KEYS.items():
            await tab.press("g", key)
            await tab.see(f"h1:text-is('{PAGES[path]}')")
            assert await tab.evaluate("() => location.pathname") == path
        await tab.press("?")
        await tab.see("dialog[open]")
        assert await faults_of(tab) == {}
        await tab.press("Escape")
        await tab.do(lambda page: page.locator("dialog[open]").wait_for(state="detached"))
        await tab.press("g", "l")
        await tab.see("text=Calls running: 2")
        calls = await tab.texts("[data-row]")
        focused = "() => document.activeElement.textContent"
        await tab.press("j")
        assert await tab.evaluate(focused) == calls[0]
        await tab.press("j")
        assert await tab.evaluate(focused) == calls[1]
        await tab.press("k")
        assert await tab.evaluate(focused) == calls[0]
        await tab.press("x")
        await tab.see("button.armed")
        await tab.press("t", "a")
        assert "from=20" in await tab.evaluate("() => location.search")
        await tab.press("/")
        assert await tab.evaluate("() => document.activeElement.id") == "search"
        await tab.press("Escape")
        assert await tab.evaluate("() => document.activeElement.id") != "search"
        await tab.press("j", "Enter")
        await tab.see("h1:has-text('Call call_')")


async def test_the_scheme_that_was_chosen_stays(browser: BrowserProcess, empty: WatchedDaemon) -> None:
    background = "() => getComputedStyle(document.documentElement).backgroundColor"
    async with browser.tab(scheme="light") as tab:
        await tab.open(empty.address)
        await tab.settled()
        light = await tab.evaluate(background)
        await tab.do(lambda page: page.get_by_label("Colours").select_option("dark"))
        dark = await tab.evaluate(background)
        assert dark != light
        await tab.open(f"{empty.address}/system")
        await tab.settled()
        assert await tab.evaluate(background) == dark


async def test_a_lost_daemon_is_told_with_the_age_of_the_figures_and_found_again(
    browser: BrowserProcess, emulator: Emulator, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data_dir = tmp_path_factory.mktemp("lost") / "data"
    same_port = {"EXAI_SERVER__OPERATIONS_PORT": str(free_port())}
    async with browser.tab() as tab:
        async with watched_daemon(emulator, data_dir, is_empty=True, environ=same_port) as daemon:
            await tab.open(daemon.address)
            await tab.see("text=Nothing runs.")
            await tab.evaluate("() => { window.isTheSame = true; }")
        await tab.see("[role=alert]:has-text('EXAI has not answered for')")
        assert "These figures are of" in await tab.text("[role=alert]")
        await tab.see("text=Nothing runs.")
        async with watched_daemon(emulator, data_dir, is_empty=True, environ=same_port):
            await tab.see(".status >> text=● live")
            assert await tab.texts("[role=alert]") == []
            await tab.press("g", "c")
            await tab.see("h1:text-is('Calls')")
            assert await tab.evaluate("() => window.isTheSame") is True, "nothing was loaded anew"


async def test_figures_are_asked_for_where_no_socket_opens(
    browser: BrowserProcess, empty: WatchedDaemon
) -> None:
    async with browser.tab() as tab:
        await tab.do(lambda page: page.route_web_socket("**/api/feed", lambda socket: socket.close()))
        await tab.open(empty.address)
        await tab.see(".status >> text=asked every 2 s")
        await tab.see("text=Nothing runs.")
        await empty.begin_long_calls()
        await tab.see(f"text=Calls running: {RUNNING_CALLS}")
        assert await faults_of(tab) == {}
