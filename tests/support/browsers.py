"""A browser that tests look at pages with: one Chromium per process of tests, a profile of its own per tab.

Playwright lives on a loop of its own, in a thread: its start takes two seconds, and each test has its own loop.
What a test does with a page it hands over: `await tab.do(lambda page: page.click("text=Calls"))`.
"""

import asyncio
import json
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright

from support.chromium import found_or_installed
from support.nodes import installed
from support.waiting import wait_until

__all__ = ["BrowserProcess", "Tab", "Violation", "browser_process"]

T = TypeVar("T")

ARGUMENTS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)
"""It looks for nothing outside this machine; its sandbox is for pages of others, and root has none."""
PATIENCE_MS = 20_000
"""Until an element that a test waits for must be there."""
WIDE = (1280, 900)
NARROW = (400, 800)

Scheme = Literal["light", "dark"]


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule of axe that a page breaks."""

    rule: str
    targets: tuple[str, ...]
    why: str


@dataclass
class Tab:
    """A page in a profile of its own."""

    page: Page
    loop: asyncio.AbstractEventLoop
    axe: Path
    complaints: list[str] = field(default_factory=list)
    """What the page wrote to the console as an error, and what it threw; refusals of the policy among them."""

    async def do(self, act: Callable[[Page], Awaitable[T]]) -> T:
        """Do something with the page; the value of it."""

        async def acted() -> T:
            return await act(self.page)

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(acted(), self.loop))

    async def open(self, address: str) -> None:
        """Go to an address, and wait until its scripts have run."""
        await self.do(lambda page: page.goto(address, wait_until="load"))

    async def see(self, selector: str) -> None:
        """Wait until an element is shown."""
        await self.do(lambda page: page.locator(selector).first.wait_for(state="visible"))

    async def text(self, selector: str) -> str:
        """Read the text of the first element, once it is there."""
        return await self.do(lambda page: page.locator(selector).first.inner_text())

    async def texts(self, selector: str) -> list[str]:
        """Read the texts of all such elements that are there now."""
        return await self.do(lambda page: page.locator(selector).all_inner_texts())

    async def settled(self) -> None:
        """Wait until the dashboard shows a page of which nothing loads any more."""
        await wait_until(
            lambda: self.evaluate(SETTLED), what=lambda: f"a page without anything that loads; {self}"
        )

    async def prefer(self, scheme: Scheme) -> None:
        """Have the page see another colour scheme of the system from now on."""
        await self.do(lambda page: page.emulate_media(color_scheme=scheme))

    async def press(self, *keys: str) -> None:
        """Press keys one after the other."""
        for key in keys:
            await self.do(lambda page, key=key: page.keyboard.press(key))  # type: ignore[misc]

    async def evaluate(self, script: str, argument: object = None) -> Any:
        """Run a function in the page; its value."""
        return await self.do(lambda page: page.evaluate(script, argument))

    async def violations(self, *rules: str) -> list[Violation]:
        """What axe finds, by these rules; by every rule of WCAG 2.2 AA and of good practice where none is named."""
        found = await self.do(lambda page: self._axe(page, rules))
        return [
            Violation(
                rule["id"],
                tuple(str(node["target"]) for node in rule["nodes"]),
                "; ".join(sorted({node["failureSummary"] for node in rule["nodes"]})),
            )
            for rule in found
        ]

    async def _axe(self, page: Page, rules: Sequence[str]) -> Any:
        """Run axe in a world of its own, where the page's policy for scripts does not hold."""
        session = await page.context.new_cdp_session(page)
        try:
            tree = await session.send("Page.getFrameTree")
            world = await session.send(
                "Page.createIsolatedWorld", {"frameId": tree["frameTree"]["frame"]["id"], "worldName": "axe"}
            )
            within = {"contextId": world["executionContextId"], "returnByValue": True}
            known = await session.send("Runtime.evaluate", {**within, "expression": "typeof axe"})
            if known["result"]["value"] == "undefined":
                source = self.axe.read_text(encoding="utf-8")
                await session.send("Runtime.evaluate", {**within, "expression": f"{source};0"})
            options: dict[str, Any] = {"resultTypes": ["violations"]}
            if rules:
                options["runOnly"] = {"type": "rule", "values": list(rules)}
            ran = await session.send(
                "Runtime.evaluate",
                {
                    **within,
                    "awaitPromise": True,
                    "expression": f"axe.run(document, {json.dumps(options)}).then((found) => found.violations)",
                },
            )
        finally:
            await session.detach()
        assert "exceptionDetails" not in ran, ran["exceptionDetails"]
        return ran["result"]["value"]

    async def screenshot(self, path: Path, *, full: bool = True) -> None:
        """Write a picture of the page."""
        await self.do(lambda page: page.screenshot(path=path, full_page=full))

    async def overflow(self) -> list[str]:
        """What is wider than the window, and cannot be scrolled within a part of its own."""
        found: list[str] = await self.evaluate(OVERFLOW)
        return found

    async def broken_words(self) -> list[str]:
        """Words and numbers of the page that go on in a further line, where nothing but their place breaks them."""
        found: list[str] = await self.evaluate(BROKEN_WORDS)
        return found


SETTLED = """() => Boolean(document.querySelector("main h1")
  && !document.querySelector(".loading, [aria-busy=true]"))"""

OVERFLOW = """() => {
  const wide = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= wide) return [];
  return [...document.querySelectorAll("body *")]
    .filter((each) => each.getBoundingClientRect().right > wide + 1)
    .map((each) => `${each.tagName}.${each.className}: ${Math.round(each.getBoundingClientRect().right)} px`);
}"""

BROKEN_WORDS = """() => {
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode;
    if (!node.parentElement.checkVisibility({ visibilityProperty: true })) continue;
    for (const { 0: word, index } of node.data.matchAll(/[\\p{L}\\p{N}]+(?:[.,][\\p{N}]+)*/gu)) {
      const range = document.createRange();
      range.setStart(node, index);
      range.setEnd(node, index + word.length);
      const lines = new Set([...range.getClientRects()].filter((box) => box.width).map((box) => Math.round(box.top)));
      if (lines.size > 1) found.push(word);
    }
  }
  return found;
}"""


class BrowserProcess:
    """Chromium and the thread that drives it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, browser: Browser) -> None:
        self._loop = loop
        self._browser = browser
        self._axe = installed().modules / "axe-core" / "axe.min.js"

    @asynccontextmanager
    async def tab(
        self, *, size: tuple[int, int] = WIDE, scheme: Scheme = "light", **options: Any
    ) -> AsyncIterator[Tab]:
        """A page in a fresh profile of this size and colour scheme; nothing moves by itself in it."""
        opened = asyncio.run_coroutine_threadsafe(self._open(size, scheme, options), self._loop)
        context, tab = await asyncio.wrap_future(opened)
        try:
            yield tab
        finally:
            closed = asyncio.run_coroutine_threadsafe(context.close(), self._loop)
            await asyncio.wrap_future(closed)

    async def _open(
        self, size: tuple[int, int], scheme: Scheme, options: dict[str, Any]
    ) -> tuple[BrowserContext, Tab]:
        given = {"reduced_motion": "reduce", **options}
        context = await self._browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, **given
        )
        context.set_default_timeout(PATIENCE_MS)
        tab = Tab(await context.new_page(), self._loop, self._axe)

        def heard(message: ConsoleMessage) -> None:
            if message.type == "error":
                tab.complaints.append(message.text)

        tab.page.on("console", heard)
        tab.page.on("pageerror", lambda error: tab.complaints.append(str(error)))
        return context, tab


@contextmanager
def browser_process(arguments: Sequence[str] = ()) -> Iterator[BrowserProcess]:
    """Start Chromium, which ends with the block.

    Raises:
        NoBrowser: there is none, and none could be brought.
    """
    chromium = found_or_installed()
    started, failed = threading.Event(), list[BaseException]()
    made: list[tuple[asyncio.AbstractEventLoop, Browser, asyncio.Event]] = []

    async def drive() -> None:
        over = asyncio.Event()
        with tempfile.TemporaryDirectory() as home:
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(
                    executable_path=chromium.binary,
                    args=[*ARGUMENTS, *arguments],
                    chromium_sandbox=False,
                    env={"PATH": "/usr/bin:/bin", "HOME": home, **chromium.environ},
                )
                made.append((asyncio.get_running_loop(), browser, over))
                started.set()
                await over.wait()
                await browser.close()

    def run() -> None:
        try:
            asyncio.run(drive())
        except BaseException as error:  # noqa: BLE001 - it is raised where the browser is asked for
            failed.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=run, name="browser", daemon=True)
    thread.start()
    started.wait()
    if not made:
        raise failed[0]
    loop, browser, over = made[0]
    try:
        yield BrowserProcess(loop, browser)
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
