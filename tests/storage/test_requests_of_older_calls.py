"""Migration 0013: calls that ended before there was a table of requests have one each, and reports go on."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest
from sqlalchemy import Connection, insert, select

from exai import config
from exai.callers import Caller, Door
from exai.runtime.clock import ManualClock
from exai.storage import migrate
from exai.storage.calls.journal import CallBegun, Journal
from exai.storage.calls.usage import UsageReports
from exai.storage.database import Database, migrate_database
from exai.storage.fleet.beating import BeatingRuns
from exai.storage.schema import calls, requests
from exai.storage.write_operations import LockGroup, row_by_row

BEGAN = datetime(2023, 11, 14, 22, 0, 0, 250_000, tzinfo=UTC)

OLDER: dict[str, Any] = {
    "run_id": "r",
    "owner": "alice",
    "door": "http",
    "client": "",
    "tool": "chat",
    "began_at": BEGAN,
    "outcome": "ok",
    "provider": "glm",
    "model_used": "glm-5.3",
    "requests": 3,
    "input_tokens": 10,
    "output_tokens": 5,
    "cost_usd": 0.25,
    "generation_ms": 900.0,
    "latency_ms": 1_500.0,
}


@row_by_row(LockGroup.CALLS)
def _insert_call(connection: Connection, row: dict[str, Any]) -> None:
    connection.execute(insert(calls), row)


@contextmanager
def as_of_schema_0012(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As long as this lasts, the later migrations do not exist."""
    earlier = tmp_path / "migrations"
    shutil.copytree(migrate.MIGRATIONS, earlier)
    for file in (earlier / "versions").glob("*.py"):
        if file.name >= "0013":
            file.unlink()
    with monkeypatch.context() as patched:
        patched.setattr(migrate, "MIGRATIONS", earlier)
        patched.setattr(BeatingRuns, "begin", AsyncMock())  # its table came later
        migrate._known.cache_clear()
        yield
    migrate._known.cache_clear()


async def test_calls_of_before_have_a_request_each(
    empty_database_settings: config.Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[dict[str, Any]] = [
        {"call_id": "answered"},
        {"call_id": "failed", "outcome": "timed_out", "error_code": "provider_timeout", "latency_ms": None},
        {"call_id": "searched", "tool": "search", "provider": "kimi", "model_used": "pro", "requests": 0},
        {"call_id": "refused", "outcome": "failed", "provider": None, "model_used": None},
        {"call_id": "lost", "outcome": "lost", "provider": None, "model_used": None},
    ]
    with as_of_schema_0012(tmp_path, monkeypatch):
        database = await Database.open(empty_database_settings, tmp_path)
        for row in rows:
            await database.write(_insert_call, {**OLDER, "error_code": None, **row})
        await database.close()
    await migrate_database(empty_database_settings, tmp_path)
    database = await Database.open(empty_database_settings, tmp_path)
    query = select(requests).order_by(requests.c.call_id)
    found = await database.read(lambda connection: connection.execute(query).all())
    assert [
        (row.call_id, row.purpose, row.provider, row.model, row.attempts, row.outcome) for row in found
    ] == [
        ("answered", "chat", "glm", "glm-5.3", 3, "ok"),
        ("failed", "chat", "glm", "glm-5.3", 3, "provider_timeout"),
        ("searched", "web-search", "kimi", "web-search", 1, "ok"),
    ]
    first = found[0]
    assert (first.number, first.input_tokens, first.output_tokens, first.cost_usd) == (1, 10, 5, 0.25)
    assert (first.generation_ms, first.connect_ms) == (900.0, None)
    assert (first.began_at, first.ended_at) == (BEGAN, BEGAN + timedelta(seconds=1.5))
    assert found[1].ended_at == BEGAN
    clock = ManualClock(BEGAN.timestamp() + 60)
    report = await UsageReports(database, clock).report(days=1, caller="alice")
    assert {(each.model, each.calls, each.unanswered) for each in report} == {
        ("glm-5.3", 2, 1),
        ("web-search", 1, 0),
        (None, 2, 2),
    }
    await Journal(database, clock).begin(CallBegun("new", Caller("alice", Door.HTTP), "chat", None, None))
    await database.close()
