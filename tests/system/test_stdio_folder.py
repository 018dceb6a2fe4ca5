"""`exai stdio`: the folder that it is started in is the workspace, also beside other roots."""

import json
from pathlib import Path

from support.daemons import clean_environ
from support.stdio_client import forked


async def test_a_call_that_names_no_workspace_is_about_the_folder_of_the_client(tmp_path: Path) -> None:
    for name in ("mine", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pool.py").write_text(f"def take():\n    return '{name} herons'\n")
    env = clean_environ(tmp_path / "data", {"EXAI_FILES__ROOTS": json.dumps([str(tmp_path / "other")])})
    async with forked("exai.cli", "stdio", "--demo", env=env, cwd=tmp_path / "mine") as client:
        await client.shake_hands()
        arguments = {"problem": "`take` hangs, see pool.py:2", "dry_run": True, "depth": "quick"}
        params = {"name": "debug", "arguments": arguments}
        answer = await client.ask({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    text = answer["result"]["content"][0]["text"]
    assert "mine herons" in text
    assert "other herons" not in text
