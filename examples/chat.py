"""A conversation with a running EXAI, by the official MCP client over Streamable HTTP.

Each question is one exchange; the handle that comes with an answer goes along with the next question.
"""

import argparse
import asyncio
import sys
from typing import Any

from mcp import Client


class NotExai(Exception):
    """Something else than EXAI answers."""


async def converse(url: str, model: str | None, questions: list[str]) -> int:
    """Ask one question after another; 1 when one was not answered.

    Raises:
        NotExai: another MCP server is there.
    """
    more: dict[str, Any] = {} if model is None else {"model": model}
    async with Client(url) as client:
        if client.server_info is None or client.server_info.name != "exai":
            raise NotExai("the MCP server there is another one")
        for question in questions:
            result = await client.call_tool("chat", {"prompt": question, **more})
            answer = result.structured_content
            if result.is_error or answer is None:
                print("\n".join(getattr(part, "text", "") for part in result.content))
                return 1
            more["continuation_id"] = answer["continuation_id"]
            print(f"you      {question}")
            print(f"{answer['model_used']:<8} {answer['answer']}")
            print(f"         {_summary(answer, (result.meta or {})['exai/report'])}\n")
    return 0


def _reason(error: BaseException) -> str:
    """Find what is behind the groups of errors in which a task group wraps it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) or type(error).__name__


def _summary(answer: dict[str, Any], report: dict[str, Any]) -> str:
    usage, cost = report["usage"], report["cost_usd"]
    return " | ".join(
        [
            f"{usage['input']} tokens in, {usage['output']} out",
            "cost unknown" if cost is None else f"${cost:.6f}",
            f"{report['timings']['latency_ms']:.0f} ms",
            f"{answer['exchanges_remaining']} exchanges remaining",
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("questions", nargs="+", metavar="QUESTION")
    parser.add_argument(
        "--url", default="http://127.0.0.1:8079/mcp", help="where EXAI runs; default: %(default)s"
    )
    parser.add_argument("--model", help="a name that `exai models` lists; default: EXAI's own choice")
    options = parser.parse_args()
    try:
        return asyncio.run(converse(options.url, options.model, options.questions))
    except Exception as error:  # noqa: BLE001 - whatever the connection fails with, one sentence helps more
        print(
            f"No EXAI answers at {options.url}: {_reason(error)}. Start one with `exai serve --demo`, or name the "
            "address of one that runs: --url.",
            file=sys.stderr,
        )
        return 2


if __name__ == "__main__":
    sys.exit(main())
