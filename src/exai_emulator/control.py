"""The control port: what is seen and changed from outside the process."""

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from aiohttp import web

from exai_emulator.accounts import Account, AccountState
from exai_emulator.clock import china_time
from exai_emulator.custom.dialects import DIALECTS
from exai_emulator.emulator import Emulator
from exai_emulator.faults import Fault
from exai_emulator.log import fingerprint
from exai_emulator.personas import Persona
from exai_emulator.ready_faults import READY_FAULTS, ready_fault
from exai_emulator.scenarios import ReplyRule, Scenario

__all__ = ["control_app"]

_SHOWN = 100


class PersonaOrder(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /_ctl/persona`."""

    persona: Persona
    provider: str | None = None
    model: str | None = None


class FaultOrder(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /_ctl/faults`."""

    provider: str
    fault: Fault | None = None
    ready: str | None = None
    """A ready-made fault by name."""
    times: Annotated[int, msgspec.Meta(ge=1)] = 1
    """How many requests a ready-made fault strikes."""


class RulesOrder(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /_ctl/rules`."""

    select: str | None = None
    rules: dict[str, bool] = {}


class AccountOrder(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `PUT /_ctl/account`."""

    provider: str
    account: AccountState
    key: str | None = None
    """A further key, which the provider accepts from now on; None for the provider's own."""


class ClockOrder(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /_ctl/clock`: set it, move it, let it run or stand still."""

    now: float | None = None
    advance_s: float = 0
    runs: bool | None = None


class DialectOrder(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /_ctl/dialect`."""

    dialect: str


class FileOrder(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /_ctl/files`."""

    provider: str
    filename: str
    purpose: str
    content: str = ""
    bytes: Annotated[int, msgspec.Meta(ge=0, le=2**40)] | None = None
    """How long it is, by zeros after the content."""
    count: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1
    """How many of them."""


def control_app(emulator: Emulator) -> web.Application:
    """The control application of `emulator`."""
    control = _Control(emulator)
    app = web.Application()
    app.router.add_post("/_ctl/reset", control.reset)
    app.router.add_get("/_ctl/persona", control.personas)
    app.router.add_post("/_ctl/persona", control.set_persona)
    app.router.add_get("/_ctl/faults", control.faults)
    app.router.add_post("/_ctl/faults", control.add_fault)
    app.router.add_delete("/_ctl/faults", control.clear_faults)
    app.router.add_get("/_ctl/scenario", control.script)
    app.router.add_post("/_ctl/scenario", control.run_scenario)
    app.router.add_delete("/_ctl/scenario", control.clear_script)
    app.router.add_post("/_ctl/replies", control.add_reply)
    app.router.add_get("/_ctl/requests", control.requests)
    app.router.add_delete("/_ctl/requests", control.clear_requests)
    app.router.add_get("/_ctl/stats", control.stats)
    app.router.add_get("/_ctl/account", control.accounts)
    app.router.add_put("/_ctl/account", control.set_account)
    app.router.add_get("/_ctl/clock", control.clock)
    app.router.add_post("/_ctl/clock", control.set_clock)
    app.router.add_get("/_ctl/dialect", control.dialect)
    app.router.add_post("/_ctl/dialect", control.set_dialect)
    app.router.add_get("/_ctl/files", control.files)
    app.router.add_post("/_ctl/files", control.add_file)
    app.router.add_delete("/_ctl/files", control.lose_files)
    app.router.add_get("/_ctl/rules", control.rules)
    app.router.add_post("/_ctl/rules", control.set_rules)
    return app


def _answer(content: Any, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(content), status=status, content_type="application/json")


class _Control:
    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    async def _ordered(
        self, request: web.Request, kind: type[Any], carry_out: Callable[[Any], None]
    ) -> web.Response:
        """Read an order and carry it out; a wrong one is answered with 400 and what is wrong."""
        try:
            carry_out(msgspec.json.decode(await request.read(), type=kind))
        except (msgspec.DecodeError, ValueError) as error:
            return _answer({"error": str(error)}, 400)
        return _answer({"ok": True})

    def _account_of(self, provider: str) -> Account:
        accounts = self._emulator.accounts
        if provider not in accounts:
            raise ValueError(f"There is no provider {provider!r}; there are {', '.join(accounts)}.")
        return accounts[provider]

    async def reset(self, _: web.Request) -> web.Response:
        self._emulator.reset()
        return _answer({"ok": True})

    async def personas(self, _: web.Request) -> web.Response:
        return _answer({"personas": self._emulator.personas.listed()})

    async def set_persona(self, request: web.Request) -> web.Response:
        def carry_out(order: PersonaOrder) -> None:
            if order.provider is not None:
                self._account_of(order.provider)
            self._emulator.personas.set(order.persona, provider=order.provider, model=order.model)

        return await self._ordered(request, PersonaOrder, carry_out)

    async def faults(self, _: web.Request) -> web.Response:
        faults = self._emulator.faults
        queued = [
            {"provider": entry.provider, "left": entry.left, "fault": entry.fault} for entry in faults.queued
        ]
        errors = {name: sorted(names) for name, names in faults.error_names.items()}
        ready = {name: list(faults) for name, faults in READY_FAULTS.items()}
        return _answer({"queued": queued, "errors": errors, "ready": ready})

    async def add_fault(self, request: web.Request) -> web.Response:
        def carry_out(order: FaultOrder) -> None:
            if (order.fault is None) == (order.ready is None):
                raise ValueError("Order a fault, or a ready-made one by its name.")
            fault = order.fault
            if fault is None:
                fault = msgspec.structs.replace(ready_fault(order.provider, order.ready), times=order.times)
            self._emulator.faults.add(order.provider, fault)

        return await self._ordered(request, FaultOrder, carry_out)

    async def clear_faults(self, _: web.Request) -> web.Response:
        self._emulator.faults.clear()
        return _answer({"ok": True})

    async def script(self, _: web.Request) -> web.Response:
        return _answer(self._emulator.script.listed())

    async def run_scenario(self, request: web.Request) -> web.Response:
        return await self._ordered(request, Scenario, self._emulator.script.run)

    async def add_reply(self, request: web.Request) -> web.Response:
        return await self._ordered(request, ReplyRule, self._emulator.script.reply)

    async def clear_script(self, _: web.Request) -> web.Response:
        self._emulator.script.clear()
        return _answer({"ok": True})

    async def requests(self, request: web.Request) -> web.Response:
        provider = request.query.get("provider")
        limit = request.query.get("limit", str(_SHOWN))
        if not limit.isascii() or not limit.isdigit():
            return _answer({"error": "limit is a whole number"}, 400)
        found = [
            record
            for record in self._emulator.log.requests
            if provider is None or record.provider == provider
        ]
        shown = found[-int(limit) :] if int(limit) else []
        return _answer({"count": len(found), "requests": [record.as_json() for record in shown]})

    async def clear_requests(self, _: web.Request) -> web.Response:
        self._emulator.log.clear()
        return _answer({"ok": True})

    async def stats(self, _: web.Request) -> web.Response:
        log, faults = self._emulator.log, self._emulator.faults
        providers = {
            name: {
                "in_flight": log.in_flight_of(name),
                "high_water": log.high_water_of(name),
                "outcomes": {outcome: count for (of, outcome), count in log.outcomes.items() if of == name},
                "statuses": {
                    str(status): count for (of, status), count in log.statuses.items() if of == name
                },
                "faults_struck": faults.struck[name],
                "faults_by_kind": {
                    kind: count for (of, kind), count in faults.struck_by.items() if of == name
                },
                "faults_queued": sum(entry.provider == name for entry in faults.queued),
            }
            for name in self._emulator.apis
        }
        return _answer({"in_flight": log.in_flight, "high_water": log.high_water, "providers": providers})

    async def accounts(self, _: web.Request) -> web.Response:
        now = self._emulator.clock.now()
        return _answer(
            {
                name: {
                    "account": account.state,
                    "usage": account.usage.as_json(now),
                    "fees": account.fees,
                    "further_keys": [
                        {"key": fingerprint(key), "account": other.state, "usage": other.usage.as_json(now)}
                        for (provider, key), other in self._emulator.accounts.by_key.items()
                        if provider == name
                    ],
                }
                for name, account in self._emulator.accounts.items()
            }
        )

    async def set_account(self, request: web.Request) -> web.Response:
        def carry_out(order: AccountOrder) -> None:
            account = self._account_of(order.provider)
            if order.key is not None:
                account = self._emulator.accounts.open(order.provider, order.key)
            account.state = order.account

        return await self._ordered(request, AccountOrder, carry_out)

    async def clock(self, _: web.Request) -> web.Response:
        clock = self._emulator.clock
        return _answer({"now": clock.now(), "utc_plus_8": china_time(clock.now()), "runs": clock.runs})

    async def set_clock(self, request: web.Request) -> web.Response:
        def carry_out(order: ClockOrder) -> None:
            clock = self._emulator.clock
            if order.runs is False:
                clock.stop()
            if order.now is not None:
                clock.set(order.now)
            if order.advance_s:
                clock.advance(order.advance_s)
            if order.runs:
                clock.run()

        return await self._ordered(request, ClockOrder, carry_out)

    async def dialect(self, _: web.Request) -> web.Response:
        return _answer({"dialect": self._emulator.custom_dialect, "known": list(DIALECTS)})

    async def set_dialect(self, request: web.Request) -> web.Response:
        def carry_out(order: DialectOrder) -> None:
            self._emulator.custom_dialect = order.dialect

        return await self._ordered(request, DialectOrder, carry_out)

    async def files(self, request: web.Request) -> web.Response:
        provider = request.query.get("provider")
        shown = [
            held.as_json()
            for held in self._emulator.held_files()
            if provider is None or held.provider == provider
        ]
        return _answer({"count": len(shown), "files": shown})

    async def lose_files(self, request: web.Request) -> web.Response:
        try:
            self._account_of(provider := request.query.get("provider", ""))
        except ValueError as error:
            return _answer({"error": str(error)}, 400)
        return _answer({"lost": self._emulator.lose_files(provider, request.query.get("id"))})

    async def add_file(self, request: web.Request) -> web.Response:
        def carry_out(order: FileOrder) -> None:
            self._account_of(order.provider)
            content = order.content.encode()
            for _ in range(order.count):
                self._emulator.place_file(
                    order.provider, order.filename, order.purpose, content, size=order.bytes
                )

        return await self._ordered(request, FileOrder, carry_out)

    async def rules(self, _: web.Request) -> web.Response:
        return _answer({"rules": self._emulator.rules.listed()})

    async def set_rules(self, request: web.Request) -> web.Response:
        def carry_out(order: RulesOrder) -> None:
            rules = self._emulator.rules
            unknown = sorted(order.rules.keys() - rules.by_id.keys())
            if unknown:
                raise ValueError(f"There is no rule {unknown[0]!r}.")
            if order.select is not None:
                rules.select(order.select)
            for rule_id, on in order.rules.items():
                rules.set(rule_id, on=on)

        return await self._ordered(request, RulesOrder, carry_out)
