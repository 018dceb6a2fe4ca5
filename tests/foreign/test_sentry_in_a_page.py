"""A page of another origin that reports by @sentry/browser, in a real browser."""

import json
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiohttp import web

from exai import config
from exai.error_tracking.ingestion.intake import sha256_of
from exai.runtime.clock import SystemClock
from exai.storage.database import Database
from exai.storage.error_tracking.groups import GroupTables
from exai.storage.error_tracking.projects import Intake, ProjectTables
from support.browsers import BrowserProcess
from support.daemons import daemon
from support.nodes import Node
from support.waiting import wait_until

KEY = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
SETTINGS = {"GLM_API_KEY": "id.secret"}
MODULES = "/modules"
PACKAGES = (
    *("@sentry/browser", "@sentry/browser-utils", "@sentry/conventions", "@sentry/core"),
    *("@sentry/feedback", "@sentry/replay", "@sentry/replay-canvas", "web-vitals"),
)


def _module_of(entry: Any) -> str | None:
    """What a page imports of an entry of `exports`."""
    while isinstance(entry, dict):
        entry = entry.get("production") or entry.get("import") or entry.get("default")
    return entry if isinstance(entry, str) and entry.endswith(("js", "mjs")) else None


def _imports(modules: Path) -> Iterator[tuple[str, str]]:
    """Say where a page finds each package, and each part of one."""
    for name in PACKAGES:
        exports = json.loads((modules / name / "package.json").read_text(encoding="utf-8"))["exports"]
        for part, entry in exports.items():
            if (module := _module_of(entry)) is not None:
                yield f"{name}{part[1:]}", f"{MODULES}/{name}/{module[2:]}"


@asynccontextmanager
async def shop(node: Node) -> AsyncIterator[str]:
    """A server of the page and of the modules that it imports; the page's address."""
    text = (node.folder / "sentry_page.html").read_text(encoding="utf-8")
    page = text.replace("IMPORT_MAP", json.dumps({"imports": dict(_imports(node.modules))}))

    async def show(_: web.Request) -> web.Response:
        return web.Response(text=page, content_type="text/html")

    served = web.Application()
    served.router.add_get("/", show)
    served.router.add_static(MODULES, node.modules)
    runner = web.AppRunner(served)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


async def intake_of(projects: ProjectTables, number: int) -> Intake:
    uses = await projects.listing(SystemClock().utc() - timedelta(days=1))
    (intake,) = [use.intake for use in uses if use.project.project_id == number]
    return intake


async def test_what_a_page_reports_is_what_it_sent(
    data_dir: Path, node: Node, browser: BrowserProcess
) -> None:
    """What it dropped itself it says when its tab is left."""
    async with daemon(data_dir=data_dir, environ=SETTINGS) as running, shop(node) as address:
        database = await Database.open(config.Database(), data_dir)
        try:
            projects = ProjectTables(database, SystemClock())
            made = await projects.create("shop", "public", sha256_of(KEY))
            assert made is not None
            dsn = f"{running.errors.replace('http://', f'http://{KEY}@')}/{made.project_id}"
            async with browser.tab() as tab:
                await tab.open(f"{address}?canary=canary-query#dsn={quote(dsn, safe='')}")
                await tab.see("#told:has-text('sent')")
                assert await tab.text("#told") == "sent"
                await tab.open("about:blank")

                async def is_told() -> bool:
                    return (await intake_of(projects, made.project_id)).lost == 3

                await wait_until(is_told, what="the page says what it dropped")
            intake = await intake_of(projects, made.project_id)
            groups = await GroupTables(database, SystemClock()).listed(
                state=None, most=10, project_id=made.project_id
            )
        finally:
            await database.close()
    assert (intake.events, intake.lost, intake.broken) == (7, 3, 0)
    assert sorted(group.seen for group in groups) == [1, 1, 5]
    assert {"RangeError": 5, "TypeError": 1}.items() <= {group.kind: group.seen for group in groups}.items()
    assert {group.first_release for group in groups} == {"basket@2.0.0"}
    with sqlite3.connect(data_dir / "exai.sqlite") as stored:
        whole = "\n".join(stored.iterdump())
    for private in ("canary-", "canary_cookie", "canaryLocal", "192.0.2.77"):
        assert private not in whole
    assert "payBasket" in whole
    assert "openShelf" in whole
