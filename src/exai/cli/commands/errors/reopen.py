"""`exai errors reopen`: a group that is opened again."""

import asyncio

from exai.cli.command_group import new_app
from exai.cli.data_choice import choose_data
from exai.cli.errors.asking import Group, Note, Version, decide
from exai.cli.errors.text import print_line
from exai.cli.options import AsJson, ConfigFile, Overrides, WhichData
from exai.error_tracking.states import reopen

__all__ = ["app"]

app = new_app()


@app.command("reopen")
def reopen_group(
    group: Group,
    note: Note = "",
    version: Version = None,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """Open a group again, whether it was resolved or archived."""
    settings = choose_data(config_file, overrides, demo).settings
    changed = asyncio.run(decide(settings, group, reopen, version=version, note=note))
    print_line(changed, as_json=as_json)
