"""`write`, over a real door: patches are compared with the workspace, mended once, kept, and never written to disk."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from evidence.test_patch_checking import applied_by_git
from evidence.test_trees import TOKEN, write
from exai_emulator import Emulator, Persona, Report
from exai_emulator.reporting.writing import ScriptedEdit, ScriptedPatch
from support.daemon_in_process import StartInProcess
from support.mcp_websocket import McpSocket, mcp_socket
from support.results import whole
from support.schemas import check_result

CART = "from shop.price import total\n\n\nclass Cart:\n    def pay(self, n):\n        return total(n) + 1\n"
FILES = {
    "shop/cart.py": CART,
    "shop/price.py": "def total(n):\n    return n * 2\n",
    "tests/test_price.py": "from shop.price import total\n\n\ndef test_total():\n    assert total(2) == 4\n",
    "README.md": "# Shop\n",
    ".env": "KEY=1\n",
}
TEST = ScriptedEdit(
    "tests/test_cart.py",
    "from shop.cart import Cart\n\n\ndef test_pay():\n    assert Cart().pay(2) == 5",
)
DOCSTRING = ScriptedEdit(
    "shop/cart.py",
    '    def pay(self, n):\n        """Pay for `n` things."""',
    old="    def pay(self, n):",
)
CODE = ScriptedEdit("shop/cart.py", "        return total(n) + 2", old="        return total(n) + 1")
OUTSIDE = ScriptedEdit("../outside.py", "x = 1")


@pytest.fixture
async def client(start_in_process: StartInProcess, tmp_path: Path) -> AsyncIterator[McpSocket]:
    write(tmp_path / "root", **FILES)
    roots = json.dumps([str(tmp_path / "root")])
    async with start_in_process(EXAI_FILES__ROOTS=roots) as daemon, mcp_socket(daemon.mcp_ws) as socket:
        yield socket


def writer(*edits: ScriptedEdit, form: Any = "right") -> Persona:
    return Persona("writer", report=Report(patch=ScriptedPatch(edits, form)))


async def written(client: McpSocket, name: str = "write", **arguments: Any) -> dict[str, Any]:
    given = {"kind": "tests", "paths": ["shop/cart.py"], "model": "kimi-k3", **arguments}
    result = await client.tool(name, {key: value for key, value in given.items() if value is not None})
    assert not result["isError"], result
    listed = (await client.request("tools/list"))["result"]["tools"]
    check_result(result, next(tool for tool in listed if tool["name"] == "write"))
    return {
        **whole(result),
        "text": result["content"][0]["text"],
        "links": result["content"][1:],
        "meta": result["_meta"],
    }


async def refused(client: McpSocket, **arguments: Any) -> tuple[str, str]:
    result = await client.tool("write", {"kind": "tests", "paths": ["shop/cart.py"], **arguments})
    assert result["isError"], result
    return result["_meta"]["exai/error"]["code"], result["content"][0]["text"]


async def kept(client: McpSocket, patch_id: str) -> str:
    """The text of the stored patch."""
    read = await client.request("resources/read", {"uri": f"exai://files/{patch_id}"})
    text: str = read["result"]["contents"][0]["text"]
    return text


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_tests_are_written_as_a_patch_that_git_takes_and_nothing_is_on_disk(
    client: McpSocket, emulator: Emulator, tmp_path: Path
) -> None:
    emulator.persona = writer(TEST)
    before = contents(tmp_path / "root")
    found = await written(client, instructions="Look at the edges.")
    assert contents(tmp_path / "root") == before
    assert "applies to the workspace as it is now:\n- tests/test_cart.py: new, +5 -0" in found["answer"]
    assert f"`exai files get {found['patch_id']} -o - | git apply`" in found["answer"]
    assert "nothing was run" in found["answer"]
    assert "This is the patch." in found["answer"]
    assert found["text"].startswith(
        f"[continuation_id: {found['continuation_id']} | patch_id: {found['patch_id']} | kimi-k3]"
    )
    assert found["answer"] in found["text"]
    (link,) = found["links"]
    assert (link["type"], link["uri"]) == ("resource_link", f"exai://files/{found['patch_id']}")
    patch = await kept(client, found["patch_id"])
    assert patch in found["answer"]
    applied_by_git(tmp_path / "root", patch)
    assert (tmp_path / "root/tests/test_cart.py").read_text() == f"{TEST.new}\n"
    (request,) = emulator.log.requests
    system, asked = (message["content"] for message in request.body["messages"])
    assert system.startswith("You write tests or documentation")
    assert "Write tests for these:\n- shop/cart.py\n\nLook at the edges." in asked
    sources = {piece["source"]: piece["path"] for piece in found["evidence"] if piece.get("id")}
    assert sources["named_paths"] == "shop/cart.py"
    assert sources["test_style"] == "tests/test_price.py"
    assert sources["called_definitions"] == "shop/price.py"


async def test_lines_that_were_miscounted_are_put_right(
    client: McpSocket, emulator: Emulator, tmp_path: Path
) -> None:
    emulator.persona = writer(DOCSTRING, form="shifted")
    found = await written(client, kind="docs")
    assert len(emulator.log.requests) == 1
    applied_by_git(tmp_path / "root", await kept(client, found["patch_id"]))
    assert '"""Pay for `n` things."""' in (tmp_path / "root/shop/cart.py").read_text()


async def test_a_patch_that_fails_is_mended_once(
    client: McpSocket, emulator: Emulator, tmp_path: Path
) -> None:
    emulator.persona = writer(DOCSTRING, form="mended")
    found = await written(client, kind="docs")
    assert "applies" not in found
    assert [stage["stage"] for stage in found["stages"]] == ["docs", "mend"]
    mending = emulator.log.requests[-1].body["messages"][-1]["content"]
    assert "│- `shop/cart.py`, hunk 1: it expects `    def pay(self, n): emulated` at line 5" in mending
    applied_by_git(tmp_path / "root", await kept(client, found["patch_id"]))


async def test_a_patch_that_still_fails_is_kept_with_its_hunk_named(
    client: McpSocket, emulator: Emulator
) -> None:
    emulator.persona = writer(DOCSTRING, form="failing")
    found = await written(client, kind="docs")
    assert found["applies"] is False
    assert len(emulator.log.requests) == 2
    assert (
        "does not apply as it is, after one attempt to mend it:\n- `shop/cart.py`, hunk 1:" in found["answer"]
    )
    assert "where `    def pay(self, n):` stands" in found["answer"]
    assert "emulated" in await kept(client, found["patch_id"])


@pytest.mark.parametrize(
    ("kind", "edit", "why"),
    [
        ("docs", CODE, "this changes code (near `2`)"),
        ("tests", OUTSIDE, "outside the workspace"),
        ("tests", ScriptedEdit(".env", "KEY=2"), "there to hold a secret"),
        ("docs", ScriptedEdit("shop/new.py", "x = 1"), "this changes code"),
        ("docs", ScriptedEdit("package.json", "{}"), "documentation may not change it"),
    ],
)
async def test_what_no_patch_may_do_is_named(
    client: McpSocket, emulator: Emulator, tmp_path: Path, kind: str, edit: ScriptedEdit, why: str
) -> None:
    emulator.persona = writer(edit)
    before = contents(tmp_path / "root")
    found = await written(client, kind=kind)
    assert found["applies"] is False
    assert why in found["answer"]
    assert contents(tmp_path / "root") == before


async def test_prose_and_docstrings_are_documentation(
    client: McpSocket, emulator: Emulator, tmp_path: Path
) -> None:
    emulator.persona = writer(DOCSTRING, ScriptedEdit("docs/usage.md", "Call `pay`."))
    found = await written(client, kind="docs", paths=["shop"])
    applied_by_git(tmp_path / "root", await kept(client, found["patch_id"]))
    assert (tmp_path / "root/docs/usage.md").read_text() == "Call `pay`.\n"


async def test_an_answer_without_a_patch_is_said_to_be(client: McpSocket, emulator: Emulator) -> None:
    emulator.persona = Persona("fixed", text="There is nothing to test.")
    found = await written(client)
    assert found["applies"] is False
    assert "patch_id" not in found
    assert "The model wrote no patch." in found["notes"]
    assert "There is nothing to test." in found["answer"]


async def test_a_long_patch_is_read_from_its_file(client: McpSocket, emulator: Emulator) -> None:
    emulator.persona = writer(ScriptedEdit("tests/test_long.py", "\n".join(["x = 1  # long"] * 2_000)))
    found = await written(client)
    assert "```diff" not in found["answer"]
    assert f"`files` with action read and id {found['patch_id']} shows it" in found["answer"]
    assert len(found["text"]) < 10_000


async def test_the_same_call_under_one_key_has_one_patch(client: McpSocket, emulator: Emulator) -> None:
    emulator.persona = writer(TEST)
    meta = {"exai/idempotency-key": "write-once"}
    arguments = {"kind": "tests", "paths": ["shop/cart.py"], "model": "kimi-k3"}
    first, second = [
        (await client.request("tools/call", {"name": "write", "arguments": arguments, "_meta": meta}))[
            "result"
        ]
        for _ in range(2)
    ]
    assert first["content"] == second["content"]
    assert len(emulator.log.requests) == 1


async def test_a_dry_run_shows_each_request_and_sends_none(client: McpSocket, emulator: Emulator) -> None:
    found = await written(client, dry_run=True)
    assert found["answer"].startswith("Nothing was sent. It would be 2 requests, about $")
    assert "kimi-k3 at kimi:" in found["answer"]
    assert "class Cart:" in found["answer"]
    assert "The stage mend is asked only when patch_problems > 0." in found["notes"]
    assert emulator.log.requests == []


async def test_a_budget_bounds_each_request(client: McpSocket, emulator: Emulator) -> None:
    emulator.persona = writer(DOCSTRING, form="failing")
    code, sentence = await refused(client, model="kimi-k3", budget_usd=0.000001)
    assert (code, "above budget_usd" in sentence) == ("budget_too_small", True)
    assert emulator.log.requests == []
    estimated = (await written(client, kind="docs", dry_run=True))["answer"]
    first = float(estimated.split("kimi-k3 at kimi:")[1].split("about $")[1].split(" ")[0])
    found = await written(client, kind="docs", budget_usd=first)
    assert len(emulator.log.requests) == 1
    assert any("before its stage mend" in note for note in found["notes"])
    assert found["applies"] is False


async def test_what_cannot_be_written_for_says_what_to_do(
    client: McpSocket, emulator: Emulator, tmp_path: Path
) -> None:
    code, sentence = await refused(client, paths=["none.py"])
    assert code == "bad_arguments"
    assert "none.py: the workspace has no such file" in sentence
    code, sentence = await refused(client, paths=[".env"])
    assert (code, "Nothing of what you name can be read" in sentence) == ("bad_arguments", True)
    assert (await refused(client, paths=[]))[0] == "bad_arguments"
    assert (await refused(client, paths=[" "]))[0] == "bad_arguments"
    assert (await refused(client, kind="code"))[0] == "bad_arguments"
    assert (await refused(client, workspace=str(tmp_path)))[0] == "file_refused"
    assert emulator.log.requests == []


async def test_a_secret_is_neither_sent_nor_kept(
    client: McpSocket, emulator: Emulator, tmp_path: Path
) -> None:
    write(tmp_path / "root", **{"shop/key.py": f"def key():\n    return '{TOKEN}'\n"})
    emulator.persona = writer(
        ScriptedEdit("shop/key.py", '    """Say."""', old="    return '[secret: github-pat]'")
    )
    found = await written(client, kind="docs", paths=["shop/key.py"])
    assert TOKEN not in repr([request.body for request in emulator.log.requests])
    assert TOKEN not in found["text"]


@pytest.mark.parametrize(("older", "kind"), [("testgen", "tests"), ("docgen", "docs")])
async def test_older_names_become_one_call(
    client: McpSocket, emulator: Emulator, tmp_path: Path, older: str, kind: str
) -> None:
    emulator.persona = writer(TEST if kind == "tests" else DOCSTRING)
    steps: dict[str, Any] = {
        "step": "Cover the edges of pay.",
        "step_number": 1,
        "total_steps": 3,
        "next_step_required": True,
        "findings": "One class.",
        "relevant_files": [str(tmp_path / "root/shop/cart.py")],
    }
    counts = (
        {"document_flow": True, "num_files_documented": 0} if older == "docgen" else {"confidence": "low"}
    )
    found = await written(client, older, kind=None, paths=None, **steps, **counts)
    assert found["meta"]["exai/alias"] == {"name": older, "tool": "write"}
    assert "applies to the workspace" in found["answer"]
    assert "Cover the edges of pay." in repr(emulator.log.requests[0].body)
    result = await client.tool(older, {"step": "Which files?", "step_number": 1})
    assert "name the files" in result["content"][0]["text"]


async def test_calls_side_by_side_keep_patches_apart(client: McpSocket, emulator: Emulator) -> None:
    emulator.persona = writer(TEST)
    emulator.personas.set(writer(ScriptedEdit("tests/test_glm.py", "def test_glm(): pass")), provider="glm")
    kimi, glm = await asyncio.gather(written(client), written(client, model="glm-5.3"))
    assert "tests/test_cart.py" in await kept(client, kimi["patch_id"])
    assert "tests/test_glm.py" in await kept(client, glm["patch_id"])
