"""What a tool takes and returns, whole: the list of tools shows less, as each of its readers pays for it."""

from collections.abc import Callable, Sequence

import mcp_types as types
import msgspec

from exai.tools.base import JsonObject
from exai.transports.resources.kind import id_in, unknown

__all__ = ["SchemaResources"]

JSON = "application/schema+json"


class SchemaResources:
    """Schemas of tools, the same for everybody."""

    prefix = "exai://schema/"
    templates = (
        types.ResourceTemplate(
            uri_template=f"{prefix}{{tool}}",
            name="schema",
            title="All arguments and results of a tool",
            description="Those that the list leaves out too.",
            mime_type=JSON,
        ),
    )

    def __init__(self, names: Sequence[str], schemas_of: Callable[[str], JsonObject | None]) -> None:
        self._names = names
        self._schemas_of = schemas_of

    async def page(self, _: str, __: int, ___: str | None) -> list[types.Resource]:
        """List nothing: `tools/list` has their names."""
        return []

    async def read(self, _: str, uri: str) -> types.TextResourceContents:
        """Read what a tool takes and returns.

        Raises:
            UnknownResource: there is no such tool.
        """
        schemas = self._schemas_of(id_in(uri, self.prefix))
        if schemas is None:
            raise unknown()
        text = msgspec.json.format(msgspec.json.encode(schemas)).decode()
        return types.TextResourceContents(uri=uri, mime_type=JSON, text=text)

    async def ids(self, _: str, begin: str, most: int) -> list[str]:
        """List the tools whose names begin so."""
        return [name for name in self._names if name.startswith(begin)][:most]
