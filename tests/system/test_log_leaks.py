"""No key, prompt, file or answer in the log of the running daemon, at its most talkative."""

from pathlib import Path
from typing import Any

from exai_emulator import Emulator, Fault
from support.daemons import StartDaemon
from support.mcp_websocket import mcp_socket

PROMPT = "CANARYPROMPT"
FILE = "CANARYFILE"
ANSWER = "CANARYANSWER"


async def test_nothing_private_is_logged_at_debug(
    start_daemon: StartDaemon, emulator: Emulator, tmp_path: Path
) -> None:
    root = tmp_path / "project"
    root.mkdir()
    (root / "large.txt").write_text(f"{FILE} " * 150_000)
    environ = {
        "EXAI_LOGGING__LEVEL": "debug",
        "EXAI_FILES__ROOTS": f'["{root}"]',
        "PYTHONASYNCIODEBUG": "1",
    }
    async with start_daemon(**environ) as daemon, mcp_socket(daemon.mcp_ws) as socket:
        calls: list[dict[str, Any]] = [
            {"prompt": f"{PROMPT} {ANSWER}", "model": "glm-5.3"},
            {"prompt": f"{PROMPT} " * 200_000, "model": "kimi-k3"},
            {"prompt": PROMPT, "absolute_file_paths": [str(root / "large.txt")], "model": "glm-5.3"},
            {"prompt": PROMPT, "model": "CANARYMODEL"},
        ]
        for arguments in calls:
            await socket.tool("chat", arguments)
        for error in sorted(emulator.faults.error_names["glm"])[::4]:
            emulator.faults.add("glm", Fault(error=error, message=f"refused {ANSWER}"))
            await socket.tool("chat", {"prompt": PROMPT, "model": "glm-5.3"})
        emulator.faults.add("glm", Fault(status=200, body=f'{{"choices": "{ANSWER}"'))
        await socket.tool("chat", {"prompt": PROMPT, "model": "glm-5.3"})
        log = daemon.log
    assert "EXAI" in log
    there = emulator.addresses
    for canary in (PROMPT, FILE, ANSWER, there.glm_key, there.glm_key.split(".")[1], there.kimi_key):
        assert canary not in log, canary
    assert len(log) < 200_000
