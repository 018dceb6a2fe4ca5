"""`exai errors split`: a fingerprint that becomes a group of its own."""

import asyncio
from typing import Annotated

import typer

from exai.cli.command_group import new_app
from exai.cli.data_choice import choose_data
from exai.cli.errors.asking import Group, Note, as_number, ask, operator
from exai.cli.errors.text import print_line
from exai.cli.options import AsJson, ConfigFile, Overrides, WhichData

__all__ = ["app"]

app = new_app()


@app.command("split")
def split(
    group: Group,
    fingerprint: Annotated[
        str,
        typer.Argument(metavar="FINGERPRINT", help="Its first digits, as `exai errors show` has them."),
    ],
    note: Note = "",
    as_json: AsJson = False,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """Move one fingerprint of a group, with what it gathered, into a group of its own."""
    settings = choose_data(config_file, overrides, demo).settings
    number = as_number(group)
    changed = asyncio.run(
        ask(settings, lambda console: console.split(number, fingerprint, actor=operator(), note=note))
    )
    print_line(changed, as_json=as_json)
