"""`errors_investigate` on the port of errors, by a whole daemon with an emulated model."""

from pathlib import Path
from typing import Any

from exai import config
from exai.storage.database import Database
from exai_emulator.emulator import Emulator
from exai_emulator.personas import Persona
from support.daemons import StartDaemon
from support.mcp_websocket import McpSocket, mcp_socket
from support.tracked_faults import tracked
from support.waiting import wait_until


async def keep_groups(data_dir: Path) -> None:
    """Keep two groups of faults of EXAI's own."""
    data_dir.mkdir(mode=0o700)  # noqa: ASYNC240 - a test may wait a moment
    database = await Database.open(config.Database(), data_dir)
    process = await tracked(database)
    for kind in (KeyError, ValueError):
        process.fail("a row is gone", kind)
    await process.counted()
    await database.close()


async def investigation_of(client: McpSocket, group: str) -> dict[str, Any]:
    shown = await client.tool("errors_show", {"group": group})
    return dict(shown["structuredContent"].get("investigation", {}))


async def test_a_group_is_investigated_with_progress_and_a_cancelled_call_cancels_it(
    start_daemon: StartDaemon, emulator: Emulator, tmp_path: Path
) -> None:
    await keep_groups(tmp_path / "data")
    emulator.personas.set(Persona("investigator", conduct="honest"))
    async with start_daemon() as daemon, mcp_socket(daemon.errors.replace("http://", "ws://")) as client:
        params = {"name": "errors_investigate", "arguments": {"group": "E-1"}, "_meta": {"progressToken": 7}}
        answer = (await client.request("tools/call", params))["result"]
        assert not answer["isError"], answer
        investigation = answer["structuredContent"]["investigation"]
        assert (investigation["state"], investigation["asked_by"]) == ("done", "local")
        assert investigation["report"]["cause"]
        said = {block["_meta"]["exai/provenance"]: block["text"] for block in answer["content"]}
        assert investigation["report"]["cause"][:40] in said["outside"]
        assert investigation["report"]["cause"][:40] not in said["server"]
        progress = [each for each in client.notifications if each["method"] == "notifications/progress"]
        assert any("investigation is " in each["params"]["message"] for each in progress)
        assert (await investigation_of(client, "E-1"))["state"] == "done"

        emulator.personas.set(Persona("investigator", conduct="honest", first_byte_delay_ms=120_000))
        stages: list[str] = []
        number, _ = await client.begin_tool(
            "errors_investigate", {"group": "E-2"}, lambda progress: stages.append(progress["message"])
        )

        def asks() -> bool:
            return any("The investigation is running: asks for the cause." in stage for stage in stages)

        await wait_until(asks, what="the progress of the call says that a model is asked")
        assert (await investigation_of(client, "E-2"))["state"] == "running"
        await client.cancel(number)

        async def cancelled() -> bool:
            return bool((await investigation_of(client, "E-2"))["state"] == "cancelled")

        await wait_until(cancelled, what="the investigation is cancelled")
