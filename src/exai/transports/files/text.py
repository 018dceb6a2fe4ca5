"""HTTP requests for the text of stored files, by lines."""

from collections.abc import Iterator

from starlette.responses import JSONResponse, Response

from exai.errors import BadArguments
from exai.files.documents.lines import StoredText
from exai.files.documents.pages import described
from exai.web.requests import AuthorizedRequest
from exai.web.routes import Route

__all__ = ["TextDoor"]

MOST_DIGITS = 12


class TextDoor:
    """Answers `/files/{file_id}/text`."""

    def __init__(self, text: StoredText) -> None:
        self._text = text

    def routes(self, scope: str) -> Iterator[Route]:
        """Yield the row; `scope` opens it."""
        yield Route(("GET",), "/files/{file_id}/text", self.read, scope=scope)

    async def read(self, request: AuthorizedRequest) -> Response:
        """Send lines with their numbers: a file's own text, or what is extracted from a document."""
        first, last = (_line(name, request.query.get(name)) for name in ("from", "to"))
        lines = await self._text.read(
            request.caller.subject, request.params["file_id"], 1 if first is None else first, last
        )
        return JSONResponse(described(lines), headers={"x-content-type-options": "nosniff"})


def _line(name: str, given: str | None) -> int | None:
    if given is None:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= MOST_DIGITS and int(given) > 0):
        raise BadArguments(f"`{name}` is the number of a line, from 1 on.")
    return int(given)
