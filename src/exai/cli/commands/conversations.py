"""`exai conversations`: finds, shows, copies, exports and deletes what was said, with and without a running daemon.

Whoever can write the database is the administrator, so these commands require no token.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, TextIO

import msgspec
import typer

from exai.callers import Caller, Door
from exai.cli.columns import table
from exai.cli.command_group import new_app
from exai.cli.data_choice import choose_data
from exai.cli.event_loop import run
from exai.cli.options import AsJson, ConfigFile, Overrides, WhichData
from exai.cli.terminal.asking import Place, call_once, serve_options
from exai.config import Settings
from exai.config.tree import secret_values
from exai.config.values import is_loopback
from exai.conversations.conversations import Conversations
from exai.errors import StartFault
from exai.monitoring import logs
from exai.runtime.clock import SystemClock
from exai.runtime.os_errors import reason_of
from exai.runtime.private_files import open_private
from exai.storage.conversations.archive import (
    ConversationArchive,
    ConversationSummary,
    ExportedExchange,
    FoundExchange,
    Selection,
)
from exai.storage.conversations.tables import ConversationTables
from exai.storage.database import Database

__all__ = ["app"]

COLUMNS = ("id", "owner", "exchanges", "model", "begun", "last used", "title")
NOTHING = Selection()

Ids = Annotated[list[str] | None, typer.Argument(metavar="ID", help="As `exai conversations list` shows it.")]
Owner = Annotated[str | None, typer.Option("--owner", metavar="SUBJECT", help="Those of this subject alone.")]
Unused = Annotated[
    float | None,
    typer.Option("--unused", metavar="DAYS", min=0.0, help="Those without an exchange for so many days."),
]

app = new_app(no_args_is_help=True, help="Find, show, copy, sum up, export and delete conversations.")


@app.command("list")
def listing(
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
    owner: Owner = None,
    unused: Unused = None,
    most: Annotated[int, typer.Option("--most", min=1, help="How many to show.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List conversations, the latest used first; nothing of what was said."""
    settings = choose_data(config_file, overrides, demo).settings
    selection = _selection(None, owner, unused)

    async def found() -> tuple[Sequence[ConversationSummary], int]:
        async with _open_archive(settings) as archive:
            return await archive.listing(selection, most), await archive.count(selection)

    rows, count = asyncio.run(found())
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(rows)).decode())
    elif rows:
        typer.echo(table([COLUMNS, *(_cells(row) for row in rows)]))
        if count > len(rows):
            typer.echo(f"\n{count - len(rows)} more; --most shows them.")
    else:
        typer.echo("There are none.")


@app.command("export")
def export(
    ids: Ids = None,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
    owner: Owner = None,
    unused: Unused = None,
    everything: Annotated[bool, typer.Option("--all", help="Every conversation.")] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", metavar="FILE", help="A new file that others cannot read, instead of stdout."
        ),
    ] = None,
) -> None:
    """Write conversations as JSON, a line for each, with all that was said."""
    settings = choose_data(config_file, overrides, demo).settings
    selection = _selection(ids, owner, unused)
    if (selection == NOTHING) is not everything:
        raise typer.BadParameter("name conversations by their ID, by --owner or --unused, or all by --all")

    async def written(stream: TextIO) -> int:
        async with _open_archive(settings) as archive:
            await _refuse_unknown(archive, ids)
            rows = await archive.listing(selection)
            for row in rows:
                said = await archive.exchanges(row.conversation_id)
                document = {**msgspec.to_builtins(row), "exchanges": msgspec.to_builtins(said)}
                stream.write(msgspec.json.encode(document).decode() + "\n")
            return len(rows)

    if output is None:
        asyncio.run(written(sys.stdout))
        return
    try:
        with open_private(output) as stream:
            count = asyncio.run(written(stream))
    except OSError as error:
        raise StartFault(
            f"The file {output} cannot be written ({reason_of(error)}); name another."
        ) from error
    typer.echo(f"{count} conversations are in {output}.", err=True)


@app.command("search")
def search(
    words: Annotated[list[str], typer.Argument(metavar="WORD", help="All of them occur in an exchange.")],
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
    owner: Owner = None,
    most: Annotated[int, typer.Option("--most", min=1, max=1_000, help="How many to show.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Find what was said, the latest first: exchanges in which every word occurs."""
    settings = choose_data(config_file, overrides, demo).settings

    async def found() -> Sequence[FoundExchange]:
        async with _open_archive(settings) as archive:
            return await archive.search(" ".join(words), owner=owner, most=most)

    rows = asyncio.run(found())
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(rows)).decode())
        return
    for row in rows:
        title = f" {_plain(row.title)}" if row.title else ""
        typer.echo(f"{row.conversation_id} {row.number}{title}\n    {_plain(row.excerpt)}")
    if not rows:
        typer.echo("There are none.")


@app.command("show")
def show(
    conversation: Annotated[str, typer.Argument(metavar="ID")],
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
    first: Annotated[int, typer.Option("--from", metavar="NUMBER", min=1, help="From this exchange on.")] = 1,
) -> None:
    """Print what was said in a conversation, as Markdown."""
    settings = choose_data(config_file, overrides, demo).settings

    async def said() -> Sequence[ExportedExchange]:
        async with _open_archive(settings) as archive:
            await _refuse_unknown(archive, [conversation])
            return await archive.exchanges(conversation)

    for each in asyncio.run(said()):
        if each.number >= first:
            head = f"## {each.number}: {each.model}, {each.created_at:%Y-%m-%d %H:%M}"
            typer.echo(f"{head}\n\n{each.question}\n\n### Answer\n\n{each.answer}\n")


@app.command("rename")
def rename(
    conversation: Annotated[str, typer.Argument(metavar="ID")],
    title: Annotated[str, typer.Argument(metavar="TITLE", help="A blank one takes it away.")],
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """Give a conversation a title."""
    settings = choose_data(config_file, overrides, demo).settings

    async def renamed() -> None:
        async with _open_conversation(settings, conversation) as (owner, tables):
            await tables.rename(conversation, owner, title.strip())

    asyncio.run(renamed())


@app.command("fork")
def fork(
    conversation: Annotated[str, typer.Argument(metavar="ID")],
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
    up_to: Annotated[
        int | None, typer.Option("--to", metavar="NUMBER", min=1, help="Up to this exchange, not all of it.")
    ] = None,
) -> None:
    """Copy a conversation, and print the ID of the copy; it goes on from there, and the other stays as it is."""
    settings = choose_data(config_file, overrides, demo).settings

    async def copied() -> str:
        async with _open_conversation(settings, conversation) as (owner, tables):
            caller = Caller(owner, Door.STDIO)
            most = settings.conversations.max_exchanges
            return await Conversations(tables, SystemClock(), most).fork(caller, conversation, up_to)

    typer.echo(asyncio.run(copied()))


@app.command("compact")
def compact(
    conversation: Annotated[str, typer.Argument(metavar="ID", help="One of your own.")],
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
    keep: Annotated[int, typer.Option("--keep", min=0, help="Newest exchanges that stay as they are.")] = 4,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Who sums up.")] = None,
    credentials: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What `exai token create --save FILE` wrote.")
    ] = None,
) -> None:
    """Have a model sum up the oldest exchanges; in prompts the summary stands for them, and they are kept.

    Asks the running daemon; where none runs, it starts one for the question.
    """
    chosen = choose_data(config_file, overrides, demo)
    options = serve_options(config_file, overrides or [], demo=chosen.loaded.demo)
    place = Place(chosen.address, is_loopback(chosen.settings.server.host), options, credentials)
    given: dict[str, object] = {"action": "compact", "continuation_id": conversation, "keep": keep}
    answer = run(call_once(place, "conversations", {**given, **({} if model is None else {"model": model})}))
    typer.echo(answer.text, err=answer.is_error)
    if answer.is_error:
        raise typer.Exit(1)


@app.command("delete")
def delete(
    ids: Ids = None,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
    owner: Owner = None,
    unused: Unused = None,
    agreed: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete conversations for ever; one with a call under way stays."""
    settings = choose_data(config_file, overrides, demo).settings
    selection = _selection(ids, owner, unused)
    if selection == NOTHING:
        raise typer.BadParameter("name conversations by their ID, or by --owner or --unused")

    async def counted() -> int:
        async with _open_archive(settings) as archive:
            await _refuse_unknown(archive, ids)
            return await archive.count(selection)

    async def deleted() -> tuple[int, int]:
        async with _open_archive(settings) as archive:
            return await archive.delete(selection), await archive.count(selection)

    count = asyncio.run(counted())
    if count and not agreed:
        typer.confirm(f"Delete {count} conversation{'s' if count != 1 else ''} for ever?", abort=True)
    gone, left = asyncio.run(deleted()) if count else (0, 0)
    typer.echo(f"Deleted: {gone}.")
    if left:
        typer.echo(f"Kept: {left}, as a call is under way there. Try again when it has ended.")


@asynccontextmanager
async def _open_archive(settings: Settings) -> AsyncIterator[ConversationArchive]:
    async with _open_database(settings) as database:
        yield ConversationArchive(database, SystemClock())


@asynccontextmanager
async def _open_database(settings: Settings) -> AsyncIterator[Database]:
    """Open the database of these settings.

    Raises:
        StartFault: the database cannot be used.
    """
    logs.configure(settings.logging.model_copy(update={"level": "warning"}), secrets=secret_values(settings))
    database = await Database.open(settings.database, settings.data_dir, settings.fleet)
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def _open_conversation(
    settings: Settings, conversation_id: str
) -> AsyncIterator[tuple[str, ConversationTables]]:
    """Open the database at a conversation: its owner, and the tables that change it.

    Raises:
        StartFault: there is no such conversation, or the database cannot be used.
    """
    async with _open_database(settings) as database:
        archive = ConversationArchive(database, SystemClock())
        await _refuse_unknown(archive, [conversation_id])
        (row,) = await archive.listing(Selection(ids=(conversation_id,)))
        yield row.owner, ConversationTables(database)


async def _refuse_unknown(archive: ConversationArchive, ids: Sequence[str] | None) -> None:
    """Refuse ids that no conversation has, before anything is done.

    Raises:
        StartFault: naming them.
    """
    if not ids:
        return
    known = {row.conversation_id for row in await archive.listing(Selection(ids=tuple(ids)))}
    if unknown := [each for each in ids if each not in known]:
        raise StartFault(
            f"There is no conversation {', '.join(unknown)}. `exai conversations list` has them."
        )


def _selection(ids: Sequence[str] | None, owner: str | None, unused_days: float | None) -> Selection:
    since = None if unused_days is None else datetime.now(UTC) - timedelta(days=unused_days)
    return Selection(tuple(ids) if ids else None, owner, since)


def _cells(row: ConversationSummary) -> tuple[str, ...]:
    return (
        row.conversation_id,
        _plain(row.owner),
        str(row.exchanges),
        row.last_model,
        f"{row.created_at:%Y-%m-%d %H:%M}",
        f"{row.updated_at:%Y-%m-%d %H:%M}",
        _plain(row.title or ""),
    )


def _plain(text: str) -> str:
    """Return a text that a terminal shows as it is."""
    return text if text.isprintable() else ascii(text)
