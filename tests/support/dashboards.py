"""Whoever operates a daemon by the dashboard's routes."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

__all__ = ["Dashboard", "dashboard_of"]


class Dashboard:
    """A client of the operations port."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http

    async def get(self, path: str, **query: str) -> Any:
        """The document at a path."""
        async with self._http.get(path, params=query) as response:
            assert response.status == 200, await response.text()
            text = await response.text()
            assert len(text) <= 64 * 1024
            return await response.json()

    async def ask(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """Status and answer."""
        async with self._http.request(method, path, json=body, headers=headers) as response:
            return response.status, await response.json()

    async def status(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> int:
        """The status alone; an answer of the rule of Origin is no JSON."""
        async with self._http.request(method, path, json=body, headers=headers) as response:
            return response.status

    async def control(self, path: str, body: object = None) -> dict[str, Any]:
        """What a control did."""
        status, answer = await self.ask("POST", path, body)
        assert status in {200, 202}, answer
        assert answer.get("told", "") != ""
        return dict(answer)


@asynccontextmanager
async def dashboard_of(operations: str, headers: Mapping[str, str] | None = None) -> AsyncIterator[Dashboard]:
    """A client from the daemon's own page; it sends these headers besides."""
    async with aiohttp.ClientSession(operations, headers={"Origin": operations, **(headers or {})}) as http:
        yield Dashboard(http)
