"""`exai auditor`: the group, whose commands are imported when they are asked for."""

from collections.abc import Mapping
from types import MappingProxyType

from exai.cli.command_group import LazyGroup, new_app

__all__ = ["SUMMARIES", "AuditorGroup", "app"]

SUMMARIES: Mapping[str, str] = MappingProxyType(
    {
        "status": "Show the auditor's mode, budget, what is open, and how often each rule was right.",
        "observations": "List what the auditor observed; by id, say what became of it.",
        "exercise": "Send events that did not happen to the running daemon, and see what it observes of them.",
    }
)
"""Each command and the first line of its help. A command is `app` in the module of its name beside this one."""


class AuditorGroup(LazyGroup):
    """Lists the commands of the table."""

    summaries = SUMMARIES
    package = "exai.cli.commands.auditor"


app = new_app(cls=AuditorGroup, no_args_is_help=True, help="See what EXAI observes of its own behaviour.")


@app.callback()
def auditor() -> None:
    """See what EXAI observes of its own behaviour.

    `status` and `observations` read the database, with and without a running daemon.
    """
