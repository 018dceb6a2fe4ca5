"""`exai errors resolve`: a group that is put right."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated

import typer

from exai.cli.command_group import new_app
from exai.cli.data_choice import choose_data
from exai.cli.errors.asking import Group, Note, Version, decide
from exai.cli.errors.text import print_line
from exai.cli.options import AsJson, ConfigFile, Overrides, WhichData
from exai.error_tracking.deciding import LONGEST_RELEASE
from exai.error_tracking.states import IN_NEXT, resolve
from exai.errors import StartFault

__all__ = ["app"]

app = new_app()


@app.command("resolve")
def resolve_group(
    group: Group,
    release: Annotated[
        str | None,
        typer.Option(
            "--in", metavar="RELEASE", help="It comes back only if it is seen in this release or later."
        ),
    ] = None,
    in_next: Annotated[
        bool, typer.Option("--in-next", help="The same for the first release that is seen after now.")
    ] = False,
    note: Note = "",
    version: Version = None,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """Say that a group is put right: now, in a release, or in the next one.

    It opens again where it is seen after that.
    """
    settings = choose_data(config_file, overrides, demo).settings
    if in_next and release is not None:
        raise StartFault("Give either --in or --in-next.")
    if release is not None and not 1 <= len(release.strip()) <= LONGEST_RELEASE:
        raise StartFault(f"--in needs the name of a release, of at most {LONGEST_RELEASE} characters.")
    wanted = IN_NEXT if in_next else release
    changed = asyncio.run(
        decide(
            settings,
            group,
            lambda found: resolve(found, at=datetime.now(UTC), release=wanted),
            version=version,
            note=note,
        )
    )
    print_line(changed, as_json=as_json)
