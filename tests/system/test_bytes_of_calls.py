"""What is read for the calls of one caller is bounded together, through the running daemon."""

from pathlib import Path

from exai_emulator import Emulator, Persona
from support.daemon_in_process import StartInProcess
from support.mcp_websocket import mcp_socket

SILENT = Persona(kind="echo", first_byte_delay_ms=600_000)


async def test_files_of_a_callers_calls_are_bounded_together(
    start_in_process: StartInProcess, emulator: Emulator, tmp_path: Path
) -> None:
    (tmp_path / "long.txt").write_text("A heron. " * 9_000)
    asked = {"prompt": "Wait.", "model": "glm-5.3", "absolute_file_paths": [str(tmp_path / "long.txt")]}
    limits = {"EXAI_ADMISSION__CALLER_BYTES": "100000", "EXAI_FILES__ROOTS": str(tmp_path)}
    async with start_in_process(**limits) as daemon, mcp_socket(daemon.mcp_ws) as socket:
        emulator.persona = SILENT
        number, _ = await socket.begin_tool("chat", asked)
        await emulator.log.wait_for(lambda record: record.outcome == "open")
        refused = await socket.tool("chat", asked)
        assert refused["_meta"]["exai/error"]["code"] == "overloaded"
        assert "admission.caller_bytes" in refused["content"][0]["text"]
        emulator.persona = Persona()
        assert not (await socket.tool("chat", {"prompt": "Hello.", "model": "glm-5.3"}))["isError"]
        await socket.cancel(number)
        await emulator.log.wait_for(lambda record: record.outcome == "disconnected")
        assert not (await socket.tool("chat", asked))["isError"]
