"""The statements that the two databases say differently."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Insert, insert, select

import exai
from exai.errors import StoreFailed
from exai.storage.database import Database
from exai.storage.dialects import ManyRows, insert_if_absent, upsert
from exai.storage.schema import calls, principals
from exai.storage.write_operations import LockGroup, row_by_row

EARLY, LATE = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC)

REPLACE = upsert(principals, ("epoch_at",))
REPLACE_IF_LATER = upsert(principals, ("epoch_at",), only_if_greater="epoch_at")
INSERT = insert_if_absent(principals)


def row(epoch_at: datetime, subject: str = "alice") -> dict[str, Any]:
    return {"subject": subject, "epoch_at": epoch_at}


@row_by_row(LockGroup.IDENTITY)
def execute(connection: Connection, write: tuple[Any, dict[str, Any]]) -> int:
    statement, parameters = write
    return int(statement.execute(connection, parameters).rowcount)


async def epochs(database: Database) -> dict[str, datetime]:
    return await database.read(
        lambda connection: {each.subject: each.epoch_at for each in connection.execute(select(principals))}
    )


async def test_insert_if_absent_leaves_the_row_that_is_there_and_says_so(database: Database) -> None:
    assert await database.write(execute, (INSERT, row(EARLY))) == 1
    assert await database.write(execute, (INSERT, row(LATE))) == 0
    assert await epochs(database) == {"alice": EARLY}


async def test_upsert_replaces_the_columns_of_the_row_with_its_key(database: Database) -> None:
    for statement, parameters in ((REPLACE, row(LATE)), (REPLACE, row(LATE, "bob")), (REPLACE, row(EARLY))):
        await database.write(execute, (statement, parameters))
    assert await epochs(database) == {"alice": EARLY, "bob": LATE}


async def test_upsert_only_if_greater_never_goes_back(database: Database) -> None:
    for epoch_at in (EARLY, LATE, EARLY):
        await database.write(execute, (REPLACE_IF_LATER, row(epoch_at)))
    assert await epochs(database) == {"alice": LATE}


ODD_TEXTS = ("plain", None, "a\0b", "half \ud83d pair", "é" * 300)


@row_by_row(LockGroup.CALLS)
def insert_calls(connection: Connection, write: tuple[ManyRows | Insert, list[dict[str, Any]]]) -> None:
    statement, rows = write
    if isinstance(statement, ManyRows):
        statement.execute(connection, rows)
    else:
        connection.execute(statement, rows)


def begun(number: int, text: str | None, began_at: datetime) -> dict[str, Any]:
    return {
        "call_id": f"call{number}",
        "run_id": "run",
        "owner": "alice",
        "door": "websocket",
        "client": "a client",
        "tool": "chat",
        "conversation_id": text,
        "began_at": began_at,
        "latency_ms": number,
    }


async def test_many_rows_are_written_as_sqlalchemy_writes_them(database: Database) -> None:
    elsewhere = EARLY.astimezone(timezone(timedelta(hours=5)))
    rows = [begun(number, text, (EARLY, elsewhere)[number % 2]) for number, text in enumerate(ODD_TEXTS)]
    ours = ManyRows(insert(calls))
    await database.write(insert_calls, (ours, rows[:2]))
    await database.write(insert_calls, (ours, rows[2:]))
    others = [{**row, "call_id": f"other{row['call_id']}"} for row in rows]
    await database.write(insert_calls, (insert(calls), others))

    def stored(connection: Connection) -> list[tuple[Any, ...]]:
        columns = "conversation_id, latency_ms, CAST(began_at AS TEXT), outcome, token, run_id"
        return [
            tuple(row) for row in connection.exec_driver_sql(f"SELECT {columns} FROM calls ORDER BY call_id")
        ]

    kept = await database.read(stored)
    assert kept[: len(rows)] == kept[len(rows) :]
    assert kept[1][0] is None
    assert kept[2][0] == "a\ufffdb"


async def test_many_rows_name_a_failure_as_the_database_does(database: Database) -> None:
    rows = [begun(1, None, EARLY), begun(1, None, EARLY)]
    with pytest.raises(StoreFailed):
        await database.write(insert_calls, (ManyRows(insert(calls)), rows))


def test_no_other_module_asks_which_database_it_is() -> None:
    source = Path(exai.__file__).parent
    knowing = {
        str(module.relative_to(source))
        for module in source.rglob("*.py")
        if "migrations" not in module.parts  # a released one never changes, and so shares nothing
        and any(
            word in module.read_text(encoding="utf-8") for word in ("sqlalchemy.dialects", "dialect.name")
        )
    }
    assert knowing == {"storage/dialects.py"}
