"""The examples, run as their readers would run them."""

import asyncio
import sys
from pathlib import Path

from support.daemons import StartDaemon

EXAMPLES = Path(__file__).parents[2] / "examples"


async def _run(example: str, *arguments: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, EXAMPLES / example, *arguments, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode()


async def test_the_conversation_of_the_readme(start_daemon: StartDaemon) -> None:
    async with start_daemon() as daemon:
        code, said = await _run(
            "chat.py", "--url", daemon.mcp_http, "The secret word is heron.", "What was the secret word?"
        )
        refused, why = await _run("chat.py", "--url", daemon.mcp_http, "--model", "glm-9", "Hello.")
    assert code == 0
    assert "[emulated glm-5.3] The secret word is heron." in said.splitlines()[5]
    assert said.count("49 exchanges remaining") == said.count("48 exchanges remaining") == 1
    assert refused == 1
    assert "glm-5.3" in why


def test_every_example_is_run_by_a_test() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert [path.name for path in EXAMPLES.glob("*.py") if f'"{path.name}"' not in text] == []
