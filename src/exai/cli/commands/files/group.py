"""`exai files`: the group, whose commands are imported when they are asked for."""

from collections.abc import Mapping
from types import MappingProxyType

from exai.cli.command_group import LazyGroup, new_app

__all__ = ["SUMMARIES", "FilesGroup", "app"]

SUMMARIES: Mapping[str, str] = MappingProxyType(
    {
        "put": "Store files, and print their handles.",
        "get": "Fetch a stored file.",
        "ls": "List stored files, newest first.",
        "show": "Describe a stored file.",
        "read": "Print the text of a stored file, with numbered lines; of PDF and Office documents too.",
        "rm": "Remove stored files.",
        "send": "Place a copy of a stored file at a provider.",
        "proof": "Tell where the content of a file was, and how it went.",
        "sync": "Keep a folder as it is now, sending only what is new, and print the snapshot's id.",
        "gc": "Delete contents that no file has any more, after their grace.",
        "check": "Compare rows with bytes, and copies with what providers list.",
        "import": "Take in which files an older installation has at providers.",
    }
)
"""Each command and the first line of its help. A command is `app` in the module of its name beside this one."""


class FilesGroup(LazyGroup):
    """Lists the commands of the table."""

    summaries = SUMMARIES
    package = "exai.cli.commands.files"
    modules = MappingProxyType({"import": "imports"})


app = new_app(cls=FilesGroup, no_args_is_help=True, help="Store, list, read and remove files.")


@app.callback()
def files() -> None:
    """Store, list, read and remove files.

    With a running daemon over HTTP, else in the data folder.
    """
