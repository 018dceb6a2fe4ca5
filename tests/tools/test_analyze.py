"""`analyze`, over a real door."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from evidence.test_graph import FILES
from evidence.test_trees import TOKEN, write
from exai.evidence.requests import Edge, Graph, Node
from exai.workflows.analysis import graphs
from exai_emulator import Emulator, Persona
from support.daemon_in_process import StartInProcess
from support.mcp_websocket import McpSocket, mcp_socket
from support.results import whole


@pytest.fixture
async def client(start_in_process: StartInProcess, tmp_path: Path) -> AsyncIterator[McpSocket]:
    write(tmp_path, **{f"root/{path}": text for path, text in FILES.items()})
    write(tmp_path, **{"root/shop/key.py": f"def key():\n    return '{TOKEN}'\n", "other/a.py": "x\n"})
    roots = json.dumps([str(tmp_path / "root")])
    async with start_in_process(EXAI_FILES__ROOTS=roots) as daemon, mcp_socket(daemon.mcp_ws) as socket:
        yield socket


async def asked(client: McpSocket, **arguments: Any) -> dict[str, Any]:
    result = await client.tool("analyze", {"model": "kimi-k3", **arguments})
    assert not result["isError"], result
    return {**whole(result), "text": result["content"][0]["text"]}


async def refused(client: McpSocket, **arguments: Any) -> tuple[str, str]:
    result = await client.tool("analyze", {"question": "Why?", **arguments})
    assert result["isError"], result
    return result["_meta"]["exai/error"]["code"], result["content"][0]["text"]


def prompted(emulator: Emulator) -> str:
    return repr(emulator.log.requests[-1].body)


async def test_a_trace_is_found_without_a_model_and_explained_by_one(
    client: McpSocket, emulator: Emulator
) -> None:
    emulator.persona = Persona("fixed", text="It pays.")
    found = await asked(client, question="What does paying do?", kind="trace", target="Cart.pay")
    assert found["answer"].startswith("[emulated kimi-k3] It pays.\n\nCalls")
    assert "- shop/cart.py:6 Cart.pay -> shop/price.py:4 total\n" in found["answer"]
    assert "- shop/price.py:5 total -> shop/tax.py:1 tax_of ?\n" in found["answer"]
    assert "```mermaid\nflowchart LR\n" in found["answer"]
    assert "n1 -.-> " in found["answer"]
    assert found["text"].startswith(f"[continuation_id: {found['continuation_id']} | kimi-k3]")
    assert found["answer"] in found["text"]
    assert found["graph"]["nodes"][0]["name"] == "Cart.pay"
    assert found["graph"]["pieces"] == []
    shown = {each["id"]: each for each in found["evidence"] if each.get("id")}
    assert shown["E1"]["why"]
    prompt = prompted(emulator)
    assert "<<<FILE E1 shop/cart.py lines" in prompt
    assert "Analyze the trace of `Cart.pay`" in prompt
    spoken = await client.tool("chat", {"prompt": "And then?", "continuation_id": found["continuation_id"]})
    assert not spoken["isError"]


async def test_the_structure_is_shown_without_secrets(client: McpSocket, emulator: Emulator) -> None:
    found = await asked(client, question="What is in `key`? See shop/key.py.", paths=["shop", "none"])
    assert "shop/none: " not in repr(found["notes"])
    assert "none: the workspace has no such file" in found["notes"]
    assert {"shop/cart.py", "shop/key.py"} <= {each["path"] for each in found["evidence"]}
    assert "github-pat" in prompted(emulator)
    assert TOKEN not in prompted(emulator)


async def test_paths_may_be_absolute(client: McpSocket, tmp_path: Path) -> None:
    (tmp_path / "root" / "link").symlink_to(tmp_path / "root" / "shop")
    root, link = str(tmp_path / "root"), str(tmp_path / "root" / "link")
    found = await asked(client, question="What is there?", paths=[f"{root}/shop/tax.py"])
    assert {each["path"] for each in found["evidence"]} == {"shop/tax.py"}
    found = await asked(client, question="What is there?", paths=[f"{root}/"])
    assert {"shop/tax.py", "web/page.py"} <= {each["path"] for each in found["evidence"]}
    found = await asked(client, question="Why?", kind="trace", target=f"{root}/shop/cart.py:pay")
    assert found["graph"]["nodes"][0]["name"] == "Cart.pay"
    found = await asked(client, question="What is there?", workspace=f"{link}/", paths=[f"{link}/tax.py"])
    assert {each["path"] for each in found["evidence"]} == {"tax.py"}


async def test_an_answer_that_was_cut_says_so(client: McpSocket, emulator: Emulator) -> None:
    emulator.persona = Persona(kind="long", tokens=50)
    found = await asked(
        client, question="What is there?", max_answer_tokens=10, model="glm-4.7", effort="none"
    )
    assert any("cut" in note for note in found["notes"])


async def test_what_cannot_be_analyzed_says_what_to_do(client: McpSocket, tmp_path: Path) -> None:
    assert await refused(client, kind="trace") == (
        "bad_arguments",
        "Argument 'target': say where trace begins: a path, a name, Class.method or path:name.",
    )
    code, sentence = await refused(client, kind="dependencies", target="nothing")
    assert (code, "Nothing in the workspace" in sentence) == ("bad_arguments", True)
    assert (await refused(client, workspace=f"{tmp_path}/other"))[0] == "file_refused"
    assert (await refused(client, workspace="tree_none"))[0] == "unknown_tree"
    empty = tmp_path / "root" / "empty"
    empty.mkdir()
    assert "shows nothing" in (await refused(client, workspace=str(empty)))[1]


def test_no_name_ends_a_drawing_and_a_long_list_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "MOST_LISTED", 1)
    nodes = (Node('a"]\n```.py', "function", "x", 1, 2), Node("b.py", "function", "y", 1, 2))
    drawn = graphs.drawn(Graph(nodes, (Edge(0, 1, 1, True), Edge(1, 0, 1, False)), 1, ()))
    assert drawn.count("```") == 2
    assert 'n0["x a______.py:1"]' in drawn
    assert "and 1 more" in drawn


def opportunity(**fields: Any) -> dict[str, Any]:
    place = {"path": "shop/tax.py", "lines": "7", "quote": "def tax_of(price):"}
    return {"title": "Divide it", "place": place, "problem": "Two rules.", "change": "Extract.", **fields}


def restructuring(*opportunities: dict[str, Any]) -> Persona:
    answer = {"opportunities": opportunities, "leave": "The names."}
    return Persona("fixed", text=json.dumps(answer))


async def test_what_to_restructure_has_its_place_its_callers_and_a_patch_that_applies(
    client: McpSocket, emulator: Emulator, tmp_path: Path
) -> None:
    first = (tmp_path / "root/shop/tax.py").read_text().split("\n")[0]
    place = {"path": "E1", "lines": "30", "quote": first}
    patch = f"--- a/shop/tax.py\n+++ b/shop/tax.py\n@@ -1,1 +1,2 @@\n+# One rule.\n {first}\n"
    emulator.persona = restructuring(
        opportunity(place=place, patch=patch),
        opportunity(title="Invented", place={"path": "shop/tax.py", "quote": "nothing_of_the_kind()"}),
        opportunity(title="Broken", place=place, patch=patch.replace(first, "def other():")),
    )
    found = await asked(client, question="What is worth it?", kind="refactor", paths=["shop/tax.py"])
    assert found["answer"].startswith(
        f"1. Divide it\n   place: shop/tax.py:1 `{first}`\n   problem: Two rules.\n"
    )
    assert "of `tax_of` in" in found["answer"]
    assert "shop/price.py:5 total" in found["answer"]
    assert "patch, which applies to the workspace as it is now:\n\n```diff\ndiff --git" in found["answer"]
    assert "+# One rule." in found["answer"]
    assert "`nothing_of_the_kind()` (unverified)" in found["answer"]
    assert "reaches: not looked up, as the place was not found" in found["answer"]
    assert "patch: left out, as it does not apply. `shop/tax.py`, hunk 1:" in found["answer"]
    assert "Better left as it is: The names." in found["answer"]
    assert "One rule" not in (tmp_path / "root/shop/tax.py").read_text()
    assert "worth restructuring" in prompted(emulator)
    assert {"tests", "callers", "named_paths"} & {each["source"] for each in found["evidence"]}


async def test_the_older_name_refactor_takes_its_steps(
    client: McpSocket, emulator: Emulator, tmp_path: Path
) -> None:
    emulator.persona = restructuring()
    steps = {
        "step_number": 1,
        "total_steps": 1,
        "next_step_required": False,
        "findings": "",
        "confidence": "low",
    }
    given = {
        "step": "Divide what is large.",
        "refactor_type": "decompose",
        "focus_areas": ["shop"],
        "relevant_files": [str(tmp_path / "root/shop/tax.py")],
        "style_guide_examples": [str(tmp_path / "root/shop/price.py")],
    }
    result = await client.tool("refactor", {**steps, **given, "model": "kimi-k3"})
    assert not result["isError"], result
    assert result["_meta"]["exai/alias"] == {"name": "refactor", "tool": "analyze"}
    assert "Nothing that was shown is worth restructuring." in result["content"][0]["text"]
    prompt = prompted(emulator)
    assert "Divide what is large." in prompt
    assert "the largest first" in prompt
    assert "shop/price.py" in prompt
    emulator.persona = Persona("fixed", text="Layers.")
    older = {"step": "What layers are there?", "analysis_type": "architecture", **steps, "model": "kimi-k3"}
    result = await client.tool("analyze", older)
    assert "Layers." in result["content"][0]["text"]
    assert "how the parts fit together" in prompted(emulator)


async def test_an_analysis_is_previewed_and_bounded(client: McpSocket, emulator: Emulator) -> None:
    found = await asked(client, question="What is there?", dry_run=True)
    assert found["answer"].startswith("Nothing was sent. It would be 1 request, about $")
    code, sentence = await refused(client, model="kimi-k3", budget_usd=0.000001)
    assert (code, "above budget_usd" in sentence) == ("budget_too_small", True)
    assert emulator.log.requests == []
