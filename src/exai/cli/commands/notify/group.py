"""`exai notify`: the group, whose commands are imported when they are asked for."""

from collections.abc import Mapping
from types import MappingProxyType

from exai.cli.command_group import LazyGroup, new_app

__all__ = ["SUMMARIES", "NotifyGroup", "app"]

SUMMARIES: Mapping[str, str] = MappingProxyType(
    {
        "list": "List the webhooks of the settings, with what became of what they were told.",
        "deliveries": "List what webhooks were told, the latest first.",
        "test": "Post a message to each webhook now, and say what it answers.",
        "secret": "Make a secret by which messages are signed.",
    }
)
"""Each command and the first line of its help. A command is `app` in the module of its name beside this one."""


class NotifyGroup(LazyGroup):
    """Lists the commands of the table."""

    summaries = SUMMARIES
    package = "exai.cli.commands.notify"
    modules = MappingProxyType({"list": "listing", "test": "trying"})


app = new_app(cls=NotifyGroup, no_args_is_help=True, help="See and try what is told to others by webhooks.")


@app.callback()
def notify() -> None:
    """See and try what is told to others by webhooks.

    Which there are is said by the settings (`notify.webhooks`); the commands work with and without a running daemon.
    """
