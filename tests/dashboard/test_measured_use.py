"""Baselines and the use of tools at the operations port of a real daemon."""

import json
from typing import Any

import aiohttp

from support.daemons import Daemon, StartDaemon


class Page:
    """A page of the port itself, as a browser has it."""

    def __init__(self, daemon: Daemon, http: aiohttp.ClientSession) -> None:
        self._root = daemon.operations
        self._http = http

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        headers = {"origin": self._root}
        async with self._http.request(method, f"{self._root}{path}", json=body, headers=headers) as answer:
            return answer.status, json.loads(await answer.read())


async def test_a_baseline_is_begun_and_ended_from_the_page(start_daemon: StartDaemon) -> None:
    async with start_daemon() as daemon, aiohttp.ClientSession() as http:
        page = Page(daemon, http)
        assert await page.ask("GET", "/api/baselines") == (200, {"runs": []})
        status, begun = await page.ask("POST", "/api/baselines", {"name": "a", "hours": 2, "note": "calm"})
        assert (status, begun["run"]["state"]) == (201, "collecting")
        assert begun["told"].startswith("a collects until")
        status, shown = await page.ask("GET", "/api/baselines/a")
        assert shown["why"] == "No call has ended within it so far."
        assert shown["report"]["remarks"]
        status, stopped = await page.ask("POST", "/api/baselines/a/stop")
        assert (status, stopped["run"]["state"], stopped["run"]["calls"]) == (200, "stopped", 0)
        status, runs = await page.ask("GET", "/api/baselines")
        assert [run["coverage"] for run in runs["runs"]] == [stopped["run"]["coverage"]]
        status, compared = await page.ask("GET", "/api/baselines/a/compare/a")
        assert compared == {"before": "a", "after": "a", "changes": []}
        for method, path, body, sentence in (
            ("POST", "/api/baselines", {"name": "a"}, "already"),
            ("POST", "/api/baselines", {"name": "b", "where": "x"}, "NAME=VALUE"),
            ("POST", "/api/baselines/a/stop", None, "is over"),
            ("GET", "/api/baselines/none", None, "There is no baseline"),
            ("GET", "/api/usage/tools?days=no", None, "not as it has to be"),
        ):
            status, refused = await page.ask(method, path, body)
            assert status == 400
            assert sentence in refused["error"]["message"]


async def test_the_use_of_tools_is_judged_on_the_page(start_daemon: StartDaemon) -> None:
    async with start_daemon() as daemon, aiohttp.ClientSession() as http:
        page = Page(daemon, http)
        status, report = await page.ask("GET", "/api/usage/tools?days=30")
        assert status == 200
        assert {tool["verdict"] for tool in report["tools"]} == {"not enough use"}
        assert report["plan"] == []
        status, days = await page.ask("GET", "/api/usage/days?days=7")
        assert days == {"days": [], "callers": [], "cut": False}
