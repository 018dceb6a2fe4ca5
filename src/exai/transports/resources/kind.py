"""What a kind of resource has to offer, so that one set of handlers serves them all."""

from collections.abc import Sequence
from typing import Protocol

import mcp_types as types

from exai.auth.scopes import ERRORS, FILES, MODELS
from exai.callers import Caller
from exai.errors import ScopeMissing, ToolFault

__all__ = ["Content", "ResourceKind", "UnknownResource", "check_read_scope", "id_in", "unknown"]

Content = types.TextResourceContents | types.BlobResourceContents

SCOPES = {
    "exai://files/": FILES,
    "exai://conversations/": MODELS,
    "exai://answers/": MODELS,
    "exai://plans/": MODELS,
    "exai://workflows/": MODELS,
    "exai://errors/": ERRORS,
    "exai://feed/": ERRORS,
}
"""What reading an address needs; what is not here is open to every caller."""


class UnknownResource(ToolFault):
    """The caller has no such resource; another owner's is answered alike."""

    code = "unknown_resource"
    http_status = 404
    fixable_by = "caller"


class ResourceKind(Protocol):
    """Resources whose addresses begin alike."""

    @property
    def prefix(self) -> str:
        """With what their addresses begin."""
        ...

    @property
    def templates(self) -> Sequence[types.ResourceTemplate]:
        """The forms of their addresses."""
        ...

    async def page(self, owner: str, most: int, after: str | None, /) -> Sequence[types.Resource]:
        """List some of an owner's, behind the one with the id `after`. A kind that lists none has its templates alone.

        Raises:
            UnknownFile: the owner never had a file of that id.
        """
        ...

    async def read(self, owner: str, uri: str, /) -> Content | list[Content]:
        """Read one of an owner's; in several parts where several wrote it.

        Raises:
            UnknownResource: the owner has none at that address.
            ToolFault: it cannot be read.
        """
        ...

    async def ids(self, owner: str, begin: str, most: int, /) -> Sequence[str]:
        """List ids of an owner's that begin so, those first that are wanted most probably."""
        ...


def check_read_scope(caller: Caller, uri: str) -> None:
    """Refuse who may not read what such an address names.

    Raises:
        ScopeMissing: that is so.
    """
    needed = next((scope for prefix, scope in SCOPES.items() if uri.strip().startswith(prefix)), None)
    if needed is not None and not caller.may(needed):
        sentence = (
            f"Your token does not allow this: it lacks {needed}. Ask its issuer for one that has this scope."
        )
        raise ScopeMissing(sentence, scope=needed)


def id_in(uri: str, prefix: str) -> str:
    """Return what stands behind the prefix of an address.

    Raises:
        UnknownResource: nothing does, or more than an id.
    """
    found = uri.strip().removeprefix(prefix)
    if not found or len(found) > 200 or "/" in found or not found.isprintable():
        raise unknown()
    return found


def unknown() -> UnknownResource:
    """Say that there is nothing at an address."""
    return UnknownResource(
        "You have no resource at this address. `resources/list` has those that there are, "
        "`resources/templates/list` the forms of addresses."
    )
