"""`exai conversations`: what was said, listed, exported and deleted without a daemon."""

import asyncio
import json
import stat
from pathlib import Path

from typer.testing import CliRunner, Result

from exai import config
from exai.callers import Caller, Door
from exai.cli import build_app
from exai.conversations.conversations import Conversations
from exai.errors import StartFault
from exai.runtime.clock import SystemClock
from exai.storage.calls.journal import CallBegun, Journal
from exai.storage.conversations.tables import ConversationTables
from exai.storage.database import Database


def say(data_dir: Path, *owners: str, runs: bool = False) -> list[str]:
    """Begin a conversation for each owner; their handles."""

    async def recorded() -> list[str]:
        database = await Database.open(config.Database(), data_dir)
        conversations = Conversations(ConversationTables(database), SystemClock(), 50)
        handles = []
        for owner in owners:
            caller = Caller(subject=owner, door=Door.HTTP)
            conversation = await conversations.open(caller, None)
            await conversations.record(
                conversation,
                caller=caller,
                question="What is a heron?",
                answer="A bird.",
                reasoning=None,
                model="glm-5.3",
                call_id="call",
            )
            if runs:
                begun = CallBegun(conversation.id, caller, "chat", None, conversation.id)
                await Journal(database, SystemClock()).begin(begun)
            handles.append(conversation.id)
        await database.close()
        return handles

    return asyncio.run(recorded())


def conversations(*arguments: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(build_app(), ["conversations", *arguments], input=answer)


def test_the_list_has_everybodys_and_nothing_of_what_was_said(data_dir: Path) -> None:
    assert conversations("list").output == "There are none.\n"
    (alices, bobs) = say(data_dir, "alice\x1b[2J", "bob")
    listed = conversations("list").output
    assert alices in listed
    assert bobs in listed
    assert "'alice\\x1b[2J'" in listed
    assert "heron" not in listed
    assert conversations("list", "--most", "1").output.endswith("1 more; --most shows them.\n")
    (row,) = json.loads(conversations("list", "--owner", "bob", "--json").output)
    assert (row["conversation_id"], row["exchanges"]) == (bobs, 1)
    assert conversations("list", "--unused", "1").output == "There are none.\n"


def test_an_export_has_a_line_of_json_for_each(data_dir: Path, tmp_path: Path) -> None:
    handle, _ = say(data_dir, "alice", "bob")
    (line,) = conversations("export", "--owner", "alice").output.splitlines()
    told = json.loads(line)
    assert (told["conversation_id"], told["owner"]) == (handle, "alice")
    assert told["exchanges"][0]["question"] == "What is a heron?"
    file = tmp_path / "all.jsonl"
    assert "2 conversations" in conversations("export", "--all", "--output", str(file)).output
    assert len(file.read_text().splitlines()) == 2
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = conversations("export", "--all", "--output", str(file))
    assert isinstance(again.exception, StartFault)
    assert conversations("export").exit_code == 2


def test_a_deletion_asks_first_and_takes_only_what_was_named(data_dir: Path) -> None:
    alices, bobs = say(data_dir, "alice", "bob")
    assert conversations("delete").exit_code == 2
    assert isinstance(conversations("delete", alices, "conv_unknown", "--yes").exception, StartFault)
    refused = conversations("delete", "--owner", "alice", answer="n\n")
    assert (refused.exit_code, "Delete 1 conversation for ever?" in refused.output) == (1, True)
    assert alices in conversations("list").output
    assert conversations("delete", "--owner", "alice", answer="y\n").output.endswith("Deleted: 1.\n")
    assert conversations("delete", bobs, "--yes").output == "Deleted: 1.\n"
    assert conversations("list").output == "There are none.\n"


def test_a_conversation_that_a_call_uses_stays(data_dir: Path) -> None:
    (handle,) = say(data_dir, "alice", runs=True)
    told = conversations("delete", handle, "--yes").output
    assert told.startswith("Deleted: 0.\nKept: 1, as a call is under way there.")
    assert handle in conversations("list").output
