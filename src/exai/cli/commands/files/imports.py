"""`exai files import`: takes in which files an older installation had at providers."""

from pathlib import Path
from typing import Annotated, Any

import typer

from exai.cli.command_group import new_app
from exai.cli.data_choice import choose_data
from exai.cli.options import AsJson, ConfigFile, Overrides, WhichData
from exai.cli.stored_files.access import Owner
from exai.cli.stored_files.listing import as_json_text
from exai.cli.stored_files.own_copies import OwnCopies, with_copies
from exai.errors import ProviderUnconfigured, StartFault
from exai.providers.remote_files.older_copies import OlderCopy, UnreadableRow, read_dump
from exai.runtime.os_errors import reason_of

__all__ = ["app"]

INSTEAD = "what lies at real ones is taken into the ordinary data, by `exai files import --no-demo`."

app = new_app()


@app.command("import")
def take_in(
    dump: Annotated[
        Path, typer.Argument(metavar="DUMP", help="A dump of `provider_file_uploads`: CSV, or JSON lines.")
    ],
    as_json: AsJson = False,
    owner: Owner = None,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """Take in which files an older installation has at providers, so that they are used and deleted from here.

    They belong to the local user, or to --owner. Nothing is asked of a provider: each file is asked for before it is
    used, and `exai files check` asks for all. Rows that cannot be taken in are listed; exit code 1 then.
    """
    chosen = choose_data(config_file, overrides, demo)
    report = with_copies(chosen, lambda own: _taken_in(own, dump), owner=owner, of_demonstration=INSTEAD)
    if as_json:
        typer.echo(as_json_text(report))
    else:
        for row in report["refused"]:
            typer.echo(f"line {row['line']}: {row['reason']}", err=True)
        typer.echo(f"Taken in: {report['imported']}; known already: {report['known']}.")
    if report["refused"]:
        raise typer.Exit(1)


async def _taken_in(own: OwnCopies, dump: Path) -> dict[str, Any]:
    """Take in a dump, row by row.

    Raises:
        StartFault: it cannot be read.
    """
    imported = known = 0
    refused: list[dict[str, Any]] = []
    try:
        with dump.open(encoding="utf-8", newline="") as lines:
            for row in read_dump(lines):
                reason = row.reason if isinstance(row, UnreadableRow) else await _adopted(own, row)
                if reason is None:
                    imported += 1
                elif reason:
                    refused.append({"line": row.line, "reason": reason})
                else:
                    known += 1
    except OSError as error:
        raise StartFault(f"{dump} cannot be read ({reason_of(error)}).") from None
    except UnicodeDecodeError:
        raise StartFault(f"{dump} is not UTF-8 text; {imported} rows before that were taken in.") from None
    return {"imported": imported, "known": known, "refused": refused}


async def _adopted(own: OwnCopies, row: OlderCopy) -> str | None:
    """Take in a row; why it was refused, empty where it is known already."""
    try:
        return None if await own.remote.adopt(row, own.owner) else ""
    except ProviderUnconfigured:
        return f"no key is set for {row.provider}, so it is not known in which account the file lies"
