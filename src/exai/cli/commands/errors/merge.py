"""`exai errors merge`: several groups that are one."""

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


@app.command("merge")
def merge(
    group: Group,
    others: Annotated[list[str], typer.Argument(metavar="OTHER...", help="Those that become part of it.")],
    note: Note = "",
    as_json: AsJson = False,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """Move all that other groups gathered, and will, into one. `exai errors split` takes it back."""
    settings = choose_data(config_file, overrides, demo).settings
    number = as_number(group)
    merged = [as_number(other) for other in others]
    changed = asyncio.run(
        ask(settings, lambda console: console.merge(number, merged, actor=operator(), note=note))
    )
    print_line(changed, as_json=as_json)
