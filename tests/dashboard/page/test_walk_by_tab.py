"""Every control of every page by the key Tab alone."""

from typing import Any

from playwright.async_api import Page

from support.browsers import BrowserProcess
from support.waiting import wait_until
from support.watched_daemon import WatchedDaemon

CONTROLS = """() => {
  for (const each of document.querySelectorAll("details")) each.open = true;
  window.reached = new Set();
  document.addEventListener("focusin", ({ target }) => window.reached.add(target));
  document.activeElement?.blur();
  const kinds = "a[href], button:enabled, input:enabled, select:enabled, summary, [tabindex='0']";
  window.controls = () => [...document.querySelectorAll(kinds)]
    .filter((each) => each.checkVisibility({ visibilityProperty: true }));
  return window.controls().length;
}"""
NOT_REACHED = """() => window.controls()
  .filter((each) => !window.reached.has(each))
  .map((each) => each.outerHTML.slice(0, 200))"""


async def paths_of(daemon: WatchedDaemon) -> list[str]:
    """Every page; those of one thing are of the first that is there."""

    async def listed(path: str, name: str) -> Any:
        return (await daemon.document(path))[name]

    calls = await wait_until(
        lambda: listed("/api/calls?q=outcome:failed", "calls"), what="a failed call in the journal"
    )
    groups = await wait_until(lambda: listed("/api/errors", "groups"), what="a group of errors")
    return [
        "/",
        "/calls",
        f"/calls/{calls[0]['call_id']}",
        "/errors",
        f"/errors/{groups[0]['group']}",
        "/auditor",
        "/providers",
        "/connections",
        "/usage",
        "/baselines",
        "/baselines/one",
        "/system",
    ]


async def tabbed(page: Page, times: int) -> None:
    for _ in range(times):
        await page.keyboard.press("Tab")


async def test_every_control_of_every_page_is_reached_by_tab(
    browser: BrowserProcess, busy: WatchedDaemon
) -> None:
    paths = [path.replace("/baselines/one", "/baselines/after?with=before") for path in await paths_of(busy)]
    async with browser.tab() as tab:
        for path in paths:
            await tab.open(busy.address + path)
            await tab.settled()
            controls = await tab.evaluate(CONTROLS)
            assert controls > 15, path
            await tab.do(lambda page, times=controls + 20: tabbed(page, times))  # type: ignore[misc]
            assert await tab.evaluate(NOT_REACHED) == [], path
