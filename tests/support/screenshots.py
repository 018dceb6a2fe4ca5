"""Makes the pictures of the manual: pages of the dashboard of a daemon with something to show."""

import asyncio
import sys
import tempfile
from pathlib import Path

from exai_emulator import EmulatorOptions, running
from support.browsers import BrowserProcess, Scheme, Tab, browser_process
from support.watched_daemon import WatchedDaemon, watched_daemon

SIZE = (1280, 800)
PICTURES: tuple[tuple[str, str, Scheme], ...] = (
    ("live", "/", "light"),
    ("calls", "/calls", "dark"),
    ("call", "/calls?q=error:provider_failed", "light"),
    ("providers", "/providers", "dark"),
    ("errors", "/errors", "light"),
)
"""Name, page, colours. The page of a call is that of the first one in its list."""


async def _pictures(browser: BrowserProcess, folder: Path) -> None:
    with tempfile.TemporaryDirectory() as home:
        async with (
            running(EmulatorOptions()) as emulator,
            watched_daemon(emulator, Path(home) / "data") as daemon,
        ):
            for name, path, scheme in PICTURES:
                async with browser.tab(size=SIZE, scheme=scheme) as tab:
                    await _open(tab, daemon, path, opens_the_first=name == "call")
                    await tab.screenshot(folder / f"{name}.png", full=False)


async def _open(tab: Tab, daemon: WatchedDaemon, path: str, *, opens_the_first: bool) -> None:
    await tab.open(daemon.address + path)
    await tab.settled()
    if opens_the_first:
        await tab.press("j", "Enter")
        await tab.see("text=Waterfall")
    await tab.see(".status >> text=● live")


def main() -> None:
    """Write them into the folder that the command names."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with browser_process() as browser:
        asyncio.run(_pictures(browser, folder))


if __name__ == "__main__":
    main()
