"""`test_echo`: what it is given, without a model; for tests of load and of clients."""

from typing import Annotated

import msgspec

from exai.auth import scopes
from exai.consulting.context import CallContext
from exai.consulting.results import Result, ToolReturn
from exai.tools.base import Arguments, Tool

__all__ = ["Echo", "EchoArguments", "Echoed"]


class EchoArguments(Arguments, frozen=True):
    text: Annotated[str, msgspec.Meta(description="Comes back as it is")] = ""


class Echoed(Result, frozen=True, kw_only=True):
    """What was given."""

    answer: str

    def text(self) -> str:
        return self.answer or "(nothing)"


class Echo:
    """Answers with what it is given; takes no permit and asks nobody."""

    def tool(self) -> Tool[EchoArguments, Echoed]:
        """The catalogue's entry."""
        return Tool(
            name="test_echo",
            title="Echo",
            description="Answer with the text that is given, without a model.",
            arguments=EchoArguments,
            result=Echoed,
            run=self.run,
            asks_provider=False,
            scope=scopes.STATUS,
            argument_aliases={"message": "text", "prompt": "text", "input": "text"},
            idempotent=True,
            is_listed=False,
        )

    async def run(self, arguments: EchoArguments, _context: CallContext) -> ToolReturn[Echoed]:
        """Answer with the text."""
        return ToolReturn(Echoed(answer=arguments.text))
