"""The dashboard in a real browser, before a real daemon."""

import asyncio

import pytest

from support.browsers import NARROW, WIDE, BrowserProcess, Scheme
from support.daemons import StartDaemon
from support.mcp_websocket import mcp_socket

SCHEMES = pytest.mark.parametrize("scheme", ["light", "dark"])
SIZES = pytest.mark.parametrize("size", [WIDE, NARROW, (390, 844)], ids=["wide", "400 px", "390 px"])


@SCHEMES
@SIZES
async def test_the_page_breaks_no_word_and_no_rule_of_accessibility(
    browser: BrowserProcess, start_daemon: StartDaemon, size: tuple[int, int], scheme: Scheme
) -> None:
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as client:
        await asyncio.gather(*(client.tool("chat", {"prompt": f"number {n}"}) for n in range(3)))
        async with browser.tab(size=size, scheme=scheme) as tab:
            await tab.open(daemon.operations)
            await tab.see("#usage td.number")
            assert await tab.violations() == []
            assert await tab.broken_words() == []
            assert await tab.overflow() == []
            assert tab.complaints == []
