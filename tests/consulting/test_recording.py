"""An answer that is paid for is given, whatever becomes of its exchange."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from exai import config
from exai.callers import Caller, Door
from exai.consulting.answer import ModelAnswer
from exai.consulting.consultant import Consultant
from exai.consulting.consultation import Consultation
from exai.consulting.context import CallContext
from exai.consulting.inquiry import Inquiry
from exai.consulting.recording import LONGEST_S
from exai.conversations.conversations import Conversations
from exai.conversations.token_counts import TokenCounts
from exai.routing.progress import SilentProgress
from exai.runtime.clock import Clock, SystemClock
from exai.storage.conversations.calibrations import CalibrationTable
from exai.storage.conversations.tables import ConversationTables, NewExchange
from exai.storage.database import Database
from exai.storage.write_operations import LockGroup, row_by_row
from support.file_sources import file_sources
from support.scripted import ScriptedProvider, ScriptedRouter, asker, asking
from support.virtual_time import LoopClock, now

CALLER = Caller.local(Door.WEBSOCKET)
TAKES_NO_EXCHANGE = (
    "CREATE TRIGGER full BEFORE INSERT ON exchanges BEGIN SELECT RAISE(ABORT, 'no room'); END",
    "DROP TRIGGER full",
)


@row_by_row(LockGroup.CONVERSATIONS)
def run(connection: Connection, sql: str) -> None:
    connection.execute(text(sql))


class SilentTables(ConversationTables):
    """Of a database that takes exchanges and never answers."""

    async def begin(self, exchange: NewExchange) -> None:  # noqa: ARG002 - the signature is the base's
        await asyncio.Event().wait()


@dataclass
class Talk:
    """One caller's questions on a database."""

    database: Database
    clock: Clock
    tables: ConversationTables
    folder: Path
    max_exchanges: int = 50

    async def ask(self, question: str, *, seconds: float = 600.0, **fields: Any) -> Consultation:
        router = ScriptedRouter(ScriptedProvider("paid"))
        limits = config.Conversations(max_exchanges=self.max_exchanges)
        consultant = Consultant(
            router=router,  # type: ignore[arg-type]
            conversations=Conversations(self.tables, self.clock, self.max_exchanges),
            files=file_sources(self.database, self.folder),
            limits=limits,
            tool_limits=config.ToolLoop(),
            counts=TokenCounts(CalibrationTable(self.database), self.clock, {}),
            clock=self.clock,
        )
        ask = asker(asking(router, clock=self.clock), seconds=seconds)
        inquiry = Inquiry(instructions="Answer.", question=question, **fields)
        return await consultant.consult(inquiry, CallContext("call", CALLER, ask, SilentProgress()))


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(config.Database(), tmp_path)
    yield database
    await database.close()


@pytest.fixture
def talk(database: Database, tmp_path: Path) -> Talk:
    return Talk(database, SystemClock(), ConversationTables(database), tmp_path)


async def test_a_first_answer_that_is_not_kept_is_given_without_a_handle(talk: Talk) -> None:
    full, room = TAKES_NO_EXCHANGE
    await talk.database.write(run, full)
    answer = ModelAnswer.of(await talk.ask("a question"))
    assert (answer.answer, answer.continuation_id, answer.exchanges_remaining) == ("paid", None, 0)
    (note,) = answer.notes
    assert "not kept" in note
    assert note in answer.text()
    assert "conv_" not in answer.text()
    await talk.database.write(run, room)
    assert (await talk.ask("again")).recording.not_kept is None


async def test_an_answer_that_goes_on_keeps_the_handle_and_says_what_may_be_missing(talk: Talk) -> None:
    full, room = TAKES_NO_EXCHANGE
    handle = (await talk.ask("first")).conversation_id
    await talk.database.write(run, full)
    lost = ModelAnswer.of(await talk.ask("second", continuation_id=handle))
    assert (lost.answer, lost.continuation_id, lost.exchanges_remaining) == ("paid", handle, 49)
    assert "may not be kept" in lost.notes[0]
    await talk.database.write(run, room)
    kept = await talk.ask("third", continuation_id=handle)
    assert (kept.exchanges_remaining, kept.fit.recalled.included) == (48, 1)


class MeanwhileTables(ConversationTables):
    """Runs a statement between the opening of a conversation and its next exchange."""

    def __init__(self, database: Database, sql: str) -> None:
        super().__init__(database)
        self._written_to = database
        self._sql = sql

    async def append(self, exchange: NewExchange) -> int | None:
        await self._written_to.write(run, self._sql)
        return await super().append(exchange)


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("UPDATE conversations SET exchanges = 50", "others used"),
        ("DELETE FROM conversations", "deleted meanwhile"),
    ],
)
async def test_an_answer_whose_conversation_is_full_or_gone_meanwhile_is_given(
    talk: Talk, sql: str, why: str
) -> None:
    handle = (await talk.ask("first")).conversation_id
    talk.tables = MeanwhileTables(talk.database, sql)
    answer = ModelAnswer.of(await talk.ask("second", continuation_id=handle))
    assert (answer.answer, answer.continuation_id) == ("paid", None)
    assert why in answer.notes[0]


@pytest.mark.virtual_time
@pytest.mark.parametrize(("left_s", "waits_s"), [(600.0, LONGEST_S), (3.0, 3.0)])
async def test_a_database_that_does_not_answer_holds_no_answer_longer_than_the_call_lasts(
    database: Database, tmp_path: Path, left_s: float, waits_s: float
) -> None:
    talk = Talk(database, LoopClock(), SilentTables(database), tmp_path)
    began = now()
    answer = ModelAnswer.of(await talk.ask("a question", seconds=left_s))
    assert (answer.answer, answer.continuation_id) == ("paid", None)
    assert now() - began == pytest.approx(waits_s, abs=0.01)
