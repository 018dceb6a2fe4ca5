"""`exai files sync`, with a running daemon and without."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from exai.cli import build_app
from support.daemons import StartDaemon, free_port


@pytest.fixture(params=["daemon", "data folder"])
async def options(
    request: pytest.FixtureRequest, data_dir: Path, start_daemon: StartDaemon
) -> AsyncIterator[tuple[str, ...]]:
    if request.param == "data folder":
        yield ("--set", f"server.port={free_port()}")
        return
    async with start_daemon() as daemon:
        yield ("--url", daemon.mcp_ws)


async def run(*arguments: str) -> Result:
    return await asyncio.to_thread(lambda: CliRunner().invoke(build_app(), ["files", *arguments]))


async def test_a_folder_is_kept_and_only_what_is_new_is_sent(
    options: tuple[str, ...], tmp_path: Path
) -> None:
    folder = tmp_path / "project"
    (folder / "src").mkdir(parents=True)
    for number in range(30):
        (folder / "src" / f"{number}.py").write_text(f"print({number})\n")
    (folder / ".env").write_text("KEY=1")
    first = await run("sync", str(folder), *options)
    assert first.exit_code == 0, first.stderr
    tree, said = first.stdout.split(maxsplit=1)
    assert tree.startswith("tree_")
    assert said.startswith("30 of 30 files sent")
    assert "left out, as it seems to hold a secret: .env" in first.stderr
    assert (await run("ls", *options)).stdout.count("file_") == 0
    (folder / "src" / "7.py").write_text("print('other')\n")
    second = json.loads((await run("sync", str(folder), "--json", *options)).stdout)
    assert (second["files"], second["sent_files"], second["secrets"]) == (30, 1, [".env"])
    assert second["id"] != tree
    unchanged = json.loads((await run("sync", str(folder), "--json", *options)).stdout)
    assert (unchanged["id"], unchanged["sent_files"]) == (second["id"], 0)


async def test_what_is_no_folder_is_refused(options: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in ("file", "missing"):
        refused = await run("sync", str(tmp_path / path), *options)
        assert refused.exit_code == 1
        assert "cannot be read" in refused.stderr
