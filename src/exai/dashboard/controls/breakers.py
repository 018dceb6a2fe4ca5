"""Closes a breaker, or has its model asked at once whether it answers again."""

from typing import Annotated, Any

import msgspec
from starlette.responses import JSONResponse, Response

from exai.auth.scopes import MODELS
from exai.callers import Caller, Door
from exai.dashboard.controls.replicas import elsewhere
from exai.dashboard.controls.rows import control, log_control
from exai.dashboard.json_bodies import SMALL
from exai.dispatch.dispatcher import Dispatcher
from exai.errors import CircuitOpen, UnknownModel
from exai.routing.breaker import Breaker, Breakers, State
from exai.routing.router import ModelRouter
from exai.runtime.clock import Clock
from exai.storage.fleet.replicas import Replicas
from exai.web.requests import AuthorizedRequest
from exai.web.routes import Route

__all__ = ["BreakerControls"]

QUESTION = "Answer with the word OK."

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class NoSuchModel(UnknownModel):
    """No breaker belongs to it: the provider has no such model."""

    http_status = 404


class _Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    provider: Name
    model: Name


class BreakerControls:
    """The routes of breakers."""

    def __init__(
        self, breakers: Breakers, router: ModelRouter, dispatcher: Dispatcher, runs: Replicas, clock: Clock
    ) -> None:
        self._breakers = breakers
        self._runs = runs
        self._router = router
        self._dispatcher = dispatcher
        self._clock = clock

    def routes(self) -> list[Route]:
        """List the rows for the table of the port."""
        return [
            control("/api/breakers/close", self._close, SMALL),
            control("/api/breakers/probe", self._probe, SMALL),
        ]

    async def _close(self, request: AuthorizedRequest) -> Response:
        asked, breaker = await self._asked(request)
        is_open = breaker is not None and breaker.state is not State.CLOSED
        cause = None if breaker is None else breaker.cause
        if breaker is not None and is_open:
            breaker.close()
        log_control("close breaker", request, provider=asked.provider, model=asked.model, was_open=is_open)
        sentence = (
            f"The breaker of {asked.model} is closed (it was open: {cause}). Requests are sent again; it opens again "
            "if they fail."
            if is_open
            else f"The breaker of {asked.model} was closed already; nothing was done."
        )
        sentence += await elsewhere(self._runs, "breakers")
        return JSONResponse({"result": "closed" if is_open else "already_closed", "told": sentence})

    async def _probe(self, request: AuthorizedRequest) -> Response:
        asked, breaker = await self._asked(request)
        if breaker is not None:
            breaker.probe_now()
        began = self._clock.monotonic()
        caller = Caller(
            request.caller.subject,
            Door.DASHBOARD,
            "exai dashboard",
            frozenset({MODELS}),
            request.caller.credential,
        )
        arguments = {"prompt": QUESTION, "model": asked.model, "effort": "low", "fallback_models": []}
        answer = await self._dispatcher.call("chat", arguments, caller=caller)
        took_ms = round((self._clock.monotonic() - began) * 1000, 1)
        meta = answer.meta or {}
        error: dict[str, Any] = meta.get("exai/error", {})
        code = error.get("code") if answer.is_error else None
        result = "answered" if code is None else "not_sent" if code == CircuitOpen.code else "failed"
        log_control(
            "probe model", request, provider=asked.provider, model=asked.model, result=result, code=code
        )
        now = self._breakers.find(asked.provider, asked.model)
        body = {
            "result": result,
            "error": code,
            "message": answer.text[:500] if answer.is_error else None,
            "state": "closed" if now is None else now.state.value,
            "call_id": error.get("call_id") or meta.get("exai/report", {}).get("call_id"),
            "took_ms": took_ms,
            "told": _sentence(asked.model, code, took_ms),
        }
        return JSONResponse(body)

    async def _asked(self, request: AuthorizedRequest) -> tuple[_Model, Breaker | None]:
        asked = await request.json_body(_Model)
        provider = self._router.providers.get(asked.provider)
        breaker = self._breakers.find(asked.provider, asked.model)
        if breaker is None and (provider is None or asked.model not in provider.models):
            raise NoSuchModel(
                "No provider here has a model of this name; `GET /api/feed/providers` lists them."
            )
        return asked, breaker


def _sentence(model: str, code: str | None, took_ms: float) -> str:
    if code is None:
        return f"{model} answered a small question in {took_ms:.0f} ms; requests are sent to it as usual."
    if code == CircuitOpen.code:
        return f"Nothing was sent to {model}: another probe is under way, or its breaker opened again."
    return f"{model} did not answer ({code}), after {took_ms:.0f} ms."
