"""The examples, run as their readers would run them."""

import asyncio
import sys
from pathlib import Path

from support.daemons import StartDaemon, free_port

EXAMPLES = Path(__file__).parents[2] / "examples"


async def _run(example: str, *arguments: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        EXAMPLES / example,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode()


async def _another_server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each request as a web server that knows no MCP."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    await writer.drain()
    writer.close()


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


async def test_where_no_exai_answers_the_example_says_so_in_a_sentence() -> None:
    async with await asyncio.start_server(_another_server, "127.0.0.1", 0) as server:
        taken = server.sockets[0].getsockname()[1]
        for port in (free_port(), taken):
            code, said = await _run("chat.py", "--url", f"http://127.0.0.1:{port}/mcp", "Hello.")
            assert code == 2
            assert said.startswith(f"No EXAI answers at http://127.0.0.1:{port}/mcp: ")
            assert "exai serve --demo" in said
            assert "--url" in said
            assert len(said.splitlines()) == 1


def test_every_example_is_run_by_a_test() -> None:
    tests = [Path(__file__), Path(__file__).parents[1] / "cli" / "test_baseline_command.py"]
    text = "".join(path.read_text(encoding="utf-8") for path in tests)
    assert [path.name for path in EXAMPLES.iterdir() if f'"{path.name}"' not in text] == []
