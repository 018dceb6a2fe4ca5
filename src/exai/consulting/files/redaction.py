"""A text without its secrets, however a model reads of it."""

from exai.consulting.files.text_items import ReadableText
from exai.files.documents.lines import Matches
from exai.files.documents.search import LinePattern
from exai.files.secrets.places import Place, redacted

__all__ = ["RedactedText"]

MATCH_CHARACTERS = 400


class RedactedText:
    """Reads a text, and replaces its secrets by the names of their rules."""

    def __init__(self, source: ReadableText, places: tuple[Place, ...]) -> None:
        self._source = source
        self._places = places

    async def lines(self, first: int, last: int) -> tuple[str, ...]:
        """Read lines."""
        return redacted(first, await self._source.lines(first, last), self._places)

    async def search(self, pattern: LinePattern, first: int, most: int) -> Matches:
        """Find lines. Those with a secret are shown from their beginning, so that it is found in its place."""
        matches = await self._source.search(pattern, first, most)
        shown = []
        for number, line in matches.lines:
            text = line
            if any(place.line <= number <= place.end_line for place in self._places):
                (text,) = await self.lines(number, number)
                text = text[:MATCH_CHARACTERS]
            shown.append((number, text))
        return Matches(tuple(shown), matches.has_more)
