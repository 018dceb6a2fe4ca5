"""Names are counted, by day and caller, and never a value."""

import pytest

from exai.callers import Caller, Door
from exai.errors import ProviderRefused, ScopeMissing
from exai.runtime.clock import ManualClock
from exai.storage.calls.tool_use import ToolUseReader
from exai.storage.calls.use import NamedUse, NameKind, UseCounts
from exai.storage.database import Database
from support.scripted import ScriptedProvider
from support.services import Services
from support.waiting import wait_until

CALLER = Caller("me", Door.WEBSOCKET, client="agent 2.1", scopes=frozenset({"*"}))


async def counted(services: Services, owner: str | None = "me") -> dict[tuple[str, str], NamedUse]:
    services.oversight.use.write_soon()
    table = UseCounts(services.database, ManualClock(services.clock.wall()))

    async def found() -> list[NamedUse]:
        return list(await table.report(days=1, owner=owner))

    rows = await wait_until(found, what="the counts are written")
    return {(row.kind.value, row.name): row for row in sorted(rows, key=lambda row: row.tool, reverse=True)}


async def test_names_are_counted_and_no_value(database: Database) -> None:
    services = Services(database, ScriptedProvider("answer", ProviderRefused("No.")))
    await services.call(caller=CALLER, word="secret words")
    await services.call(caller=CALLER, word="more", model="some-model")
    await services.call("tell", caller=CALLER, made_up="x")
    await services.call(caller=Caller("other", Door.HTTP, scopes=frozenset({"*"})))
    rows = await counted(services)
    assert {key: (row.calls, row.failures) for key, row in rows.items() if row.tool == "ask"} == {
        ("tool", "ask"): (2, 1),
        ("argument", "word"): (2, 1),
        ("argument", "model"): (1, 1),
        ("model", "scripted-1"): (2, 1),
        ("client", "agent"): (2, 1),
        ("outcome", "ok"): (1, 0),
        ("outcome", "provider_refused"): (1, 1),
    }
    assert rows[("argument", "(unknown)")].failures == 1
    assert not any("secret" in row.name or "made_up" in row.name for row in rows.values())


async def test_days_and_processes_add_up(database: Database) -> None:
    clock = ManualClock()
    table = UseCounts(database, clock)
    use = NamedUse(NameKind.TOOL, "chat", "chat", 3, 1, 0.25)
    table.add_soon([("me", use)])
    UseCounts(database, clock).add_soon([("me", use), ("other", use)])
    clock.advance(86_400)
    table.add_soon([("me", use)])

    async def all_written() -> bool:
        rows = await table.report(days=30, owner=None)
        return bool(rows) and rows[0].calls == 12

    await wait_until(all_written, what="four times three calls are counted")
    (mine,) = await table.report(days=30, owner="me")
    assert (mine.calls, mine.failures, mine.cost_usd) == (9, 3, 0.75)
    (today,) = await table.report(days=0.01, owner="me")
    assert today.calls == 3
    assert await table.prune(0) == 2


async def test_refused_calls_are_counted_with_why(database: Database) -> None:
    services = Services(database, ScriptedProvider("answer"))
    with pytest.raises(ScopeMissing):
        await services.call(caller=Caller("me", Door.HTTP))
    services.dispatcher.stop_admitting()
    await services.call(caller=CALLER)
    rows = await counted(services)
    assert {name: row.calls for (kind, name), row in rows.items() if kind == "outcome"} == {
        "insufficient_scope": 1,
        "stopping": 1,
    }


async def test_lists_that_are_sent_are_counted_by_profile_and_are_no_calls(database: Database) -> None:
    services = Services(database, ScriptedProvider("answer"))
    for _ in range(3):
        services.dispatcher.use.note_list(CALLER, "standard")
    services.dispatcher.use.note_list(Caller("other", Door.HTTP), "lean")
    await services.call(caller=CALLER)
    rows = await counted(services)
    assert "list" not in {kind for kind, _ in rows}
    reader = ToolUseReader(database, ManualClock(services.clock.wall()))
    assert await reader.lists_sent(1) == {"standard": 3, "lean": 1}
    assert await reader.active_callers(1) == 1, "who lists calls nothing"
