"""The settings of the list of tools."""

from typing import Literal

from exai.config.values import Section

__all__ = ["ListedFor", "Profile", "Tools"]

Profile = Literal["lean", "standard", "full", "compatible"]


class ListedFor(Section):
    """Who is shown another list of tools. All that is given must apply."""

    profile: Profile
    """The list."""

    client: str | None = None
    """The name that a client gives itself, such as `claude-code`, in any case."""

    token: str | None = None
    """The id of a token or key, as `exai token list` shows it."""


class Tools(Section):
    """Which tools clients are shown (`docs/tools.md`). Whatever is not listed answers as well."""

    profile: Profile = "standard"
    """`lean` has the tools that agents call most, `full` every argument, `compatible` older names too."""

    listed_for: tuple[ListedFor, ...] = ()
    """Clients and tokens with a list of their own. The first that applies decides."""

    hidden: tuple[str, ...] = ()
    """Tools that no list has, though they answer as ever: the first step before one is removed (`exai usage tools`)."""
