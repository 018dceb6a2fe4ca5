"""`exai workflows`: the group, whose commands are imported when they are asked for."""

from collections.abc import Mapping
from types import MappingProxyType

from exai.cli.command_group import LazyGroup, new_app

__all__ = ["SUMMARIES", "WorkflowsGroup", "app"]

SUMMARIES: Mapping[str, str] = MappingProxyType(
    {
        "list": "List runs, the latest worked at first.",
        "show": "Show a run: its steps, models, dollars and seconds, and what it answered.",
        "check": "Check a definition as the daemon does at its start.",
        "cancel": "End a run, so that no call goes on with it.",
        "resume": "Go on with a run that ended half-way; what had ended is not asked again.",
        "replay": "Run what a run was asked once more, as a new run, and show what differs.",
    }
)
"""Each command and the first line of its help. A command is `app` in the module of its name beside this one."""


class WorkflowsGroup(LazyGroup):
    """Lists the commands of the table."""

    summaries = SUMMARIES
    package = "exai.cli.commands.workflows"
    modules = MappingProxyType({"list": "listing"})


app = new_app(
    cls=WorkflowsGroup, no_args_is_help=True, help="List, show, check, cancel, resume and replay workflows."
)


@app.callback()
def workflows() -> None:
    """List, show, check, cancel, resume and replay workflows.

    On the rows of the database, with and without a running daemon.
    """
