"""Health and metrics, on the operations port: `/healthz`, `/readyz`, `/metrics`."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from exai.auth.hosts import HostRule
from exai.monitoring.metrics import CONTENT_TYPE, Metrics

__all__ = ["Check", "operations_app"]

Check = Callable[[], Awaitable[str | None]]
"""Asks one thing the daemon needs; `None` when it is well, else a sentence."""

CHECK_TIMEOUT_S = 2.0

INDEX = """EXAI operations

/healthz   200 while the process answers
/readyz    200 when it can serve calls, 503 with the reason when not
/metrics   Prometheus
"""


class _Fence:
    """Lets in what the rule of Host and Origin lets in."""

    def __init__(self, app: ASGIApp, hosts: HostRule) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = self._hosts.refusal(scope["headers"])
        app = self._app if refused is None else PlainTextResponse(refused.sentence, refused.status)
        await app(scope, receive, send)


def operations_app(*, checks: Mapping[str, Check], metrics: Metrics, hosts: HostRule) -> Starlette:
    """The ASGI application of the operations port."""

    async def index(_: Request) -> Response:
        return PlainTextResponse(INDEX)

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        names = list(checks)
        verdicts = await asyncio.gather(*(_verdict(checks[name]) for name in names))
        faults = {name: verdict for name, verdict in zip(names, verdicts, strict=True) if verdict is not None}
        body = {
            "status": "unready" if faults else "ready",
            "checks": {name: faults.get(name, "ok") for name in names},
        }
        return JSONResponse(body, status_code=503 if faults else 200)

    async def exposition(_: Request) -> Response:
        return Response(metrics.exposition(), media_type=CONTENT_TYPE)

    return Starlette(
        routes=[
            Route("/", index),
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", exposition),
        ],
        middleware=[Middleware(_Fence, hosts=hosts)],
    )


async def _verdict(check: Check) -> str | None:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return await check()
    except TimeoutError:
        return f"no answer within {CHECK_TIMEOUT_S:g} s"
    except Exception as error:  # noqa: BLE001 - a check that breaks is a check that fails
        return f"failed: {type(error).__name__}"
