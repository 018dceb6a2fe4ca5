"""A webhook's receiver on loopback, which answers as it is told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web
from standardwebhooks import Webhook as ReferenceWebhook

__all__ = ["Received", "WebhookTarget", "webhook_target"]


@dataclass(frozen=True)
class Received:
    """A message that came."""

    headers: dict[str, str]
    body: bytes

    @property
    def message_id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def told(self) -> Any:
        return msgspec.json.decode(self.body)

    def verified_by(self, secret: str) -> Any:
        """What the library of reference makes of it; it raises where the signature is another's."""
        return ReferenceWebhook(secret).verify(self.body, self.headers)


@dataclass
class WebhookTarget:
    """What it answers, and what came."""

    url: str = ""
    port: int = 0
    statuses: list[int] = field(default_factory=list)
    """Of the next answers, in order; then 204."""
    location: str = ""
    received: list[Received] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    """Unset: nothing is answered."""

    async def answer(self, request: web.Request) -> web.Response:
        """Take a message."""
        self.received.append(
            Received({name.lower(): value for name, value in request.headers.items()}, await request.read())
        )
        await self.open.wait()
        status = self.statuses.pop(0) if self.statuses else 204
        return web.Response(status=status, headers={"Location": self.location} if self.location else {})


@asynccontextmanager
async def webhook_target() -> AsyncIterator[WebhookTarget]:
    """Receive on a free port of loopback."""
    target = WebhookTarget()
    target.open.set()
    application = web.Application()
    application.router.add_post("/hook", target.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    target.port = runner.addresses[0][1]
    target.url = f"http://127.0.0.1:{target.port}/hook"
    try:
        yield target
    finally:
        target.open.set()
        await runner.cleanup()
