"""`exai errors`: the group, whose commands are imported when they are asked for."""

from collections.abc import Mapping
from types import MappingProxyType

from exai.cli.command_group import LazyGroup, new_app

__all__ = ["SUMMARIES", "ErrorsGroup", "app"]

SUMMARIES: Mapping[str, str] = MappingProxyType(
    {
        "list": "List what went wrong, by groups.",
        "show": "Show a group: what it is, whose it is, what to do.",
        "investigate": "Have models look for the cause of a group, within the budget.",
        "try": "Apply the proposed patch in a temporary work tree.",
        "resolve": "Say that a group is put right: now, in a release, or in the next one.",
        "archive": "Put a group away until a condition is met, or for good.",
        "reopen": "Open a group again.",
        "merge": "Move all that other groups gathered, and will, into one.",
        "split": "Move one fingerprint of a group, with what it gathered, into a group of its own.",
        "dsn": "Make, list, replace and revoke addresses to which programs report errors.",
    }
)
"""Each command and the first line of its help. A command is `app` in the module of its name beside this one."""


class ErrorsGroup(LazyGroup):
    """Lists the commands of the table."""

    summaries = SUMMARIES
    package = "exai.cli.commands.errors"
    modules = MappingProxyType({"list": "listing", "try": "trying"})


app = new_app(cls=ErrorsGroup, no_args_is_help=True, help="See what went wrong, and decide on it.")


@app.callback()
def errors() -> None:
    """See what went wrong, and decide on it.

    On the rows of the database, with and without a running daemon.
    """
