"""`exai baseline`: the group, whose commands are imported when they are asked for."""

from collections.abc import Mapping
from types import MappingProxyType

from exai.cli.command_group import LazyGroup, new_app

__all__ = ["SUMMARIES", "BaselineGroup", "app"]

SUMMARIES: Mapping[str, str] = MappingProxyType(
    {
        "start": "Collect the calls that others make, from now on and for a while.",
        "load": "Send calls of a scenario at a steady rate.",
        "status": "Say what collects, for how much longer, and what is in it so far.",
        "stop": "End a baseline before its time, and keep its report.",
        "list": "List the baselines.",
        "report": "Write a report as HTML with plots, JSON and Markdown.",
        "compare": "Say what became slower from one baseline to another.",
    }
)
"""Each command and the first line of its help."""


class BaselineGroup(LazyGroup):
    """Lists the commands of the table."""

    summaries = SUMMARIES
    package = "exai.cli.commands.baseline"
    modules = MappingProxyType({"list": "listing"})


app = new_app(
    cls=BaselineGroup,
    no_args_is_help=True,
    help="Collect how fast EXAI is over a while, see what makes it slow, and compare two such times.",
)


@app.callback()
def baseline() -> None:
    """Collect how fast EXAI is over a while, see what makes it slow, and compare two such times.

    All but `load` work on the database, with and without a running daemon; a daemon ends a baseline in time.
    """
