"""Rows of the journal, written at once."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert

from exai.storage.database import Database
from exai.storage.schema import calls
from exai.storage.write_operations import LockGroup, all_at_once

__all__ = ["call_row", "write_calls"]


def call_row(call_id: str, began_at: datetime, **columns: Any) -> dict[str, Any]:
    """The row of a call that was answered, with these columns in place of the usual."""
    usual: dict[str, Any] = {column.name: None for column in calls.c}
    return usual | {
        "call_id": call_id,
        "run_id": "run_1",
        "owner": "alice",
        "door": "websocket",
        "client": "claude-code 2.1",
        "tool": "chat",
        "model_requested": "glm-5.3",
        "model_used": "glm-5.3",
        "provider": "glm",
        "requests": 1,
        "began_at": began_at,
        "outcome": "ok",
        "input_tokens": 100,
        "output_tokens": 50,
        "cost_usd": 0.01,
        "without_price": 0,
        "emulated": 0,
        "latency_ms": 1_000.0,
        "first_token_ms": 300.0,
        **columns,
    }


@all_at_once(LockGroup.CALLS)
def _write(connection: Connection, many: list[list[dict[str, Any]]]) -> None:
    for rows in many:
        connection.execute(insert(calls), rows)


async def write_calls(database: Database, rows: Iterable[dict[str, Any]]) -> None:
    """Commit these rows."""
    await database.write(_write, list(rows))
