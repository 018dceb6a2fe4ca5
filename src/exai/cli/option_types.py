"""The options that commands share, apart from what reads settings: `exai stdio` answers its client before that."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["AsJson", "ConfigFile", "Demo", "OfDemo", "Overrides", "Roots", "WhichData"]

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="The configuration file, instead of the usual places."),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="One setting, such as server.port=9000. May be repeated."
    ),
]
Demo = Annotated[
    bool,
    typer.Option(
        "--demo",
        help="Answer from the built-in emulator, without any key, on data of its own; every answer says so.",
    ),
]
WhichData = Annotated[
    bool | None,
    typer.Option(
        "--demo/--no-demo",
        help="The data of `exai serve --demo`, or the ordinary ones. Left out: those of the daemon that runs here.",
    ),
]
OfDemo = Annotated[bool, typer.Option("--demo", help="Those of `exai serve --demo`, not the ordinary ones.")]
Roots = Annotated[
    list[Path] | None,
    typer.Option("--root", metavar="FOLDER", help="A folder whose files a call may name. May be repeated."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
