"""Rows of the journal as a test wants them, written at once."""

import itertools
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert

from exai.storage.database import Database
from exai.storage.schema import TIMINGS, calls
from exai.storage.write_operations import LockGroup, all_at_once

__all__ = ["call_row", "write_calls"]

_numbers = itertools.count(1)


def call_row(at: datetime, **given: Any) -> dict[str, Any]:
    """A call of `chat` that GLM answered; `stages` are milliseconds by stage, which add up to its latency."""
    stages: dict[str, float] = given.pop("stages", {"first_token_ms": 400.0, "generation_ms": 600.0})
    timings: dict[str, float | None] = {name: stages.get(name, 0.0) for name in TIMINGS[:-1]}
    row = {
        "call_id": f"call_{next(_numbers):08d}",
        "run_id": "run_1",
        "owner": "alice",
        "door": "websocket",
        "client": "test 1",
        "tool": "chat",
        "model_requested": "glm-5.3",
        "model_used": "glm-5.3",
        "provider": "glm",
        "requests": 1,
        "conversation_id": None,
        "began_at": at,
        "outcome": "ok",
        "error_code": None,
        "input_tokens": 100,
        "cached_tokens": 0,
        "output_tokens": 50,
        "cost_usd": 0.01,
        "without_price": 0,
        "emulated": 0,
        **timings,
        "latency_ms": sum(stages.values()),
    }
    return {**row, **given}


@all_at_once(LockGroup.CALLS)
def _write(connection: Connection, many: list[Sequence[dict[str, Any]]]) -> None:
    for rows in many:
        connection.execute(insert(calls), list(rows))


async def write_calls(database: Database, rows: Sequence[dict[str, Any]]) -> None:
    """Commit the rows."""
    await database.write(_write, rows)
