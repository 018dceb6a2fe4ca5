"""`review`, over a real door: two families read a change, what one alone names is refuted, and the rest is counted."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from dulwich.index import IndexEntry

from exai.callers import LOCAL_SUBJECT
from exai.runtime.clock import SystemClock
from exai.storage.workflows.findings import ShownFinding
from exai.workflows.review.verdicts import Verdicts
from exai_emulator import Emulator, Fault, Persona
from exai_emulator.reporting.findings import Judging, ScriptedFinding
from exai_emulator.reporting.turns import Report
from support.daemon_in_process import StartInProcess
from support.mcp_websocket import McpSocket, mcp_socket
from support.repositories import GitRepository
from support.results import whole
from support.schemas import check_result

BEFORE = '"""A pool."""\n\n\nclass Pool:\n    def get(self):\n        return self.free.pop()\n'
AFTER = (
    '"""A pool."""\n\n\nclass Pool:\n    def get(self):\n        conn = self._open(self.address)\n'
    "        conn.ping(1)\n        return conn\n"
)
LEAK = {
    "severity": "high",
    "category": "resource-leak",
    "path": "pool.py",
    "from": 6,
    "to": 7,
    "quote": "conn = self._open(self.address)",
    "message": "conn stays open where ping fails",
    "when": "the server is down",
    "fix": "close it",
    "check": {"command": "pytest -k pool", "expected": "closed", "actual": "open"},
}
GUESS = {
    "severity": "critical",
    "category": "concurrency",
    "path": "pool.py",
    "from": 8,
    "to": 8,
    "quote": "return conn\n",
    "message": "Two callers may share it",
}
JUDGING = Judging(pattern=r"^│(?P<id>R\d+)\. .*?(?=^│R\d+\. |\Z)")


def reader(*findings: dict[str, Any], **report: Any) -> Persona:
    scripted = tuple(ScriptedFinding(fields=each) for each in findings)
    return Persona("reader", report=Report(findings=scripted, judging=JUDGING, **report))


@pytest.fixture
def repository(tmp_path: Path) -> GitRepository:
    made = GitRepository(tmp_path / "repo")
    made.commit({"pool.py": BEFORE, "other.py": "VALUE = 1\n"}, "begin")
    (tmp_path / "repo" / "pool.py").write_text(AFTER)
    return made


@pytest.fixture
async def client(
    start_in_process: StartInProcess, tmp_path: Path, repository: GitRepository
) -> AsyncIterator[McpSocket]:
    async with (
        start_in_process(EXAI_FILES__ROOTS=f'["{tmp_path}"]') as daemon,
        mcp_socket(daemon.mcp_ws) as socket,
    ):
        yield socket


async def review(client: McpSocket, tmp_path: Path, name: str = "review", **arguments: Any) -> dict[str, Any]:
    listed = (await client.request("tools/list"))["result"]["tools"]
    tool = {each["name"]: each for each in listed}["review"]
    result = await client.tool(name, {"workspace": str(tmp_path / "repo"), **arguments})
    assert not result["isError"], result
    check_result(result, tool)
    text, *links = result["content"]
    return {**whole(result), "text": text["text"], "links": [each["uri"] for each in links]}


async def test_what_two_families_name_is_shown_with_its_place(
    client: McpSocket, emulator: Emulator, tmp_path: Path
) -> None:
    emulator.persona = reader(LEAK)
    found = await review(client, tmp_path)
    (finding,) = found["findings"]
    assert finding["id"].startswith("f_")
    assert (finding["path"], finding["from"], finding["to"]) == ("pool.py", 6, 7)
    assert (finding["votes"], finding["confidence"], finding["citation"]) == (2, 0.8, "verified")
    assert (finding["cwe"], finding["check"]["command"]) == ("CWE-772", "pytest -k pool")
    assert found["looked_at"] == "1 of 1 files"
    assert found["answer"].startswith("1 high. Looked at 1 of 1 files.")
    assert "[high] resource-leak, CWE-772 pool.py:6-7" in found["text"]
    assert {request.body["model"] for request in emulator.log.requests} == {"glm-5.3", "kimi-k3"}
    assert found["withheld"] == {"duplicate": 1}
    link = f"exai://workflows/{found['workflow_id']}/sarif"
    assert found["links"] == [link]
    (content,) = (await client.request("resources/read", {"uri": link}))["result"]["contents"]
    shown, withheld = json.loads(content["text"])["runs"][0]["results"]
    assert (shown["properties"]["id"], "suppressions" in shown) == (finding["id"], False)
    assert withheld["suppressions"][0]["justification"] == "Withheld as duplicate"


async def test_what_one_names_alone_is_put_to_the_other(
    client: McpSocket, emulator: Emulator, tmp_path: Path
) -> None:
    emulator.persona = reader(LEAK)
    emulator.personas.set(reader(), provider="kimi")
    refuted = await review(client, tmp_path)
    assert (refuted.get("findings", []), refuted["withheld"]) == ([], {"unconfirmed": 1})
    assert refuted["answer"].startswith("No defect found.")
    assert "Of weight among them: pool.py:6-7 resource-leak (unconfirmed)." in refuted["answer"]
    assert "R1. high resource-leak, pool.py:6-7" in emulator.log.requests[-1].body["messages"][-1]["content"]
    stored = await client.tool("files", {"action": "read", "id": refuted["more"][0]["id"]})
    assert "conn stays open where ping fails" in stored["content"][0]["text"]

    emulator.personas.set(Persona("noisy", report=Report(judging=JUDGING)), provider="kimi")
    confirmed = await review(client, tmp_path, focus="pools")
    assert [each["confidence"] for each in confirmed["findings"]] == [0.8]


async def test_the_second_pass_sees_the_files_in_another_order_and_no_answer_of_the_first(
    client: McpSocket, emulator: Emulator, tmp_path: Path
) -> None:
    (tmp_path / "repo" / "other.py").write_text("VALUE = 2\n")
    emulator.persona = reader(LEAK)
    await review(client, tmp_path)
    shown = {each.body["model"]: each.body["messages"][-1]["content"] for each in emulator.log.requests[:2]}
    first, second = shown["glm-5.3"], shown["kimi-k3"]
    assert first.index(" other.py ") < first.index(" pool.py ")
    assert second.index(" pool.py ") < second.index(" other.py ")
    assert "stays open" not in second


async def test_an_empty_change_is_an_answer(client: McpSocket, emulator: Emulator, tmp_path: Path) -> None:
    found = await review(client, tmp_path, change="staged")
    assert found["answer"].startswith("Nothing to review")
    elsewhere = await review(client, tmp_path, paths=["other.py"], change="all")
    assert elsewhere["answer"].startswith("Nothing to review")
    left_out = await review(client, tmp_path, exclude=["pool.py"])
    assert left_out["answer"].startswith("Nothing to review")
    assert emulator.log.requests == []
    assert "continuation_id" not in found


async def test_a_quick_review_is_one_pass_and_says_so(
    client: McpSocket, emulator: Emulator, tmp_path: Path
) -> None:
    emulator.persona = reader(LEAK)
    found = await review(client, tmp_path, kind="quick")
    assert [each["confidence"] for each in found["findings"]] == [0.6]
    assert any("unconfirmed" in note for note in found["notes"])
    assert len(emulator.log.requests) == 1


async def test_a_preview_has_the_requests_of_both_passes_and_asks_nobody(
    client: McpSocket, emulator: Emulator, tmp_path: Path
) -> None:
    emulator.persona = reader(LEAK)
    previewed = await review(client, tmp_path, dry_run=True)
    assert previewed["answer"].startswith("Nothing was sent. It would be 4 requests")
    assert {"glm", "kimi"} <= {model.partition("-")[0] for model in models_in(previewed["answer"])}
    assert previewed["answer"].count("conn = self._open(self.address)") >= 2
    assert any("refute is asked only when of_lead" in note for note in previewed["notes"])
    nothing = await review(client, tmp_path, change="staged", dry_run=True)
    assert any("Nothing would be asked" in note for note in nothing["notes"])
    assert emulator.log.requests == []


def models_in(answer: str) -> list[str]:
    return re.findall(r"^(\S+) at \w+: [\d,]+ tokens", answer, re.MULTILINE)


async def test_passes_that_are_read_at_the_same_time_fit_into_the_budget_together(
    client: McpSocket, emulator: Emulator, tmp_path: Path
) -> None:
    emulator.persona = reader(LEAK)
    previewed = await review(client, tmp_path, dry_run=True, model="kimi-k3")
    first, second, *_ = [float(usd) for usd in re.findall(r"tokens, about \$([\d.]+)", previewed["answer"])]
    together = {
        "workspace": str(tmp_path / "repo"),
        "model": "kimi-k3",
        "budget_usd": max(first, second) * 1.01,
    }
    refused = await client.tool("review", together)
    assert refused["_meta"]["exai/error"]["code"] == "budget_too_small"
    assert "for others" in refused["content"][0]["text"]
    assert emulator.log.requests == []
    assert (await review(client, tmp_path, model="kimi-k3", budget_usd=(first + second) * 1.2))["findings"]


async def test_with_one_provider_the_second_pass_is_a_new_context(
    start_in_process: StartInProcess, emulator: Emulator, tmp_path: Path, repository: GitRepository
) -> None:
    emulator.persona = reader(LEAK)
    async with (
        start_in_process(EXAI_FILES__ROOTS=f'["{tmp_path}"]', KIMI_API_KEY="") as daemon,
        mcp_socket(daemon.mcp_ws) as client,
    ):
        found = await review(client, tmp_path)
    assert [each["votes"] for each in found["findings"]] == [2]
    assert any("the same one was asked in a new context" in note for note in found["notes"])


async def test_a_security_review_reads_the_code_without_its_comments_too(
    client: McpSocket, emulator: Emulator, tmp_path: Path
) -> None:
    text = AFTER.replace("conn.ping(1)", "conn.ping(1)  # validated by the gateway")
    (tmp_path / "repo" / "pool.py").write_text(text)
    emulator.persona = reader({**LEAK, "category": "injection"})
    found = await review(client, tmp_path, kind="security")
    asked = [each.body["messages"][-1]["content"] for each in emulator.log.requests]
    bare = [each for each in asked if "validated by the gateway" not in each]
    assert len(asked) == 3
    assert len(bare) == 1
    assert "6│        conn = self._open(self.address)" in bare[0]
    assert '"""A pool."""' not in bare[0]
    assert found["findings"][0]["votes"] == 3
    assert any("claim a check" in note and "validated by the gateway" in note for note in found["notes"])


async def test_what_was_dismissed_is_withheld_and_what_is_gone_is_fixed(
    client: McpSocket, emulator: Emulator, tmp_path: Path
) -> None:
    emulator.persona = reader(LEAK)
    finding = (await review(client, tmp_path))["findings"][0]["id"]
    told = await client.tool("status", {"id": finding, "verdict": "dismissed", "reason": "by design"})
    assert "is dismissed" in told["content"][0]["text"]
    again = await review(client, tmp_path, focus="again")
    assert again["withheld"] == {"duplicate": 1, "dismissed": 1}
    kept = await client.tool("files", {"action": "read", "id": again["more"][0]["id"]})
    assert "You dismissed it: by design" in kept["content"][0]["text"]
    await client.tool("status", {"id": finding, "verdict": "accepted"})
    (tmp_path / "repo" / "pool.py").write_text(BEFORE + "# end\n")
    emulator.persona = reader()
    gone = await review(client, tmp_path)
    assert any("Fixed since an earlier review" in note for note in gone["notes"])
    quality = await client.tool("status", {"section": "quality"})
    assert "full, by glm-5.3, kimi-k3: 1 fixed" in quality["content"][0]["text"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"id": "f_unknown", "verdict": "wrong"}, "you have no finding 'f_unknown'"),
        ({"verdict": "wrong"}, "you have no finding"),
        ({"id": "f_unknown"}, "you have no finding"),
    ],
)
async def test_a_verdict_needs_a_finding_of_ones_own(
    client: McpSocket, arguments: dict[str, str], says: str
) -> None:
    result = await client.tool("status", arguments)
    assert result["isError"]
    assert says in result["content"][0]["text"]


async def test_a_provider_that_fails_leaves_what_the_other_found_and_the_same_call_goes_on(
    client: McpSocket, emulator: Emulator, tmp_path: Path
) -> None:
    emulator.persona = reader(LEAK)
    emulator.faults.add("kimi", Fault(error="invalid_request", times=None))
    partial = await review(client, tmp_path)
    assert [each["votes"] for each in partial["findings"]] == [1]
    assert any("could not be finished" in note for note in partial["notes"])
    emulator.faults.clear()
    before = len(emulator.log.requests)
    whole_one = await review(client, tmp_path)
    assert [each["votes"] for each in whole_one["findings"]] == [2]
    assert {each.body["model"] for each in emulator.log.requests[before:]} == {"kimi-k3"}


async def test_files_are_reviewed_whole_and_a_diff_may_be_a_file(
    client: McpSocket, emulator: Emulator, tmp_path: Path
) -> None:
    emulator.persona = reader(LEAK)
    files = await review(client, tmp_path, paths=["pool.py"])
    assert (files["looked_at"], len(files["findings"])) == ("1 of 1 files", 1)
    diff = tmp_path / "change.diff"
    diff.write_text(
        "--- a/pool.py\n+++ b/pool.py\n@@ -5,2 +5,2 @@\n     def get(self):\n"
        "-        return self.free.pop()\n+        conn = self._open(self.address)\n"
    )
    patched = await review(client, tmp_path, change=str(diff))
    assert len(patched["findings"]) == 1


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        (
            "codereview",
            {"relevant_files": ["pool.py"], "severity_filter": "all", "review_validation_type": "external"},
        ),
        ("precommit", {"total_steps": 1, "include_staged": False}),
        (
            "secaudit",
            {
                "relevant_files": ["pool.py"],
                "threat_level": "high",
                "compliance_requirements": ["SOC 2"],
                "audit_focus": "owasp",
            },
        ),
    ],
)
@pytest.mark.parametrize("form", ["in one call", "one step", "two steps"])
async def test_older_names_review_in_either_form(
    client: McpSocket, emulator: Emulator, tmp_path: Path, name: str, arguments: dict[str, Any], form: str
) -> None:
    emulator.persona = reader(LEAK)
    step = {"step": "Look", "findings": "It opens."}
    if form == "in one call":
        found = await review(client, tmp_path, name, **arguments)
    elif form == "one step":
        last = {**step, "step_number": 1, "next_step_required": False}
        found = await review(client, tmp_path, name, **arguments, **last)
    else:
        begun = await review(
            client, tmp_path, name, **arguments, **step, step_number=1, next_step_required=True
        )
        assert (begun["required_actions"], emulator.log.requests) != ([], [])
        last = {**step, "step_number": 2, "next_step_required": False}
        found = await review(client, tmp_path, name, **last, continuation_id=begun["continuation_id"])
    assert len(found["findings"]) == 1
    asked = emulator.log.requests[0].body["messages"][-1]["content"]
    assert ("Threat level: high" in asked) is (name == "secaudit")
    assert ("It opens." in asked) is (form != "in one call")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"change": "no-such-ref"}, "no-such-ref"),
        ({"kind": "style"}, "kind"),
        ({"min_severity": "tiny"}, "min_severity"),
        ({"max_findings": 101}, "max_findings"),
        ({"workspace": "/etc"}, "/etc"),
        ({"change": "/nowhere.diff"}, "nowhere.diff"),
    ],
)
async def test_what_cannot_be_reviewed_is_an_error_that_names_it(
    client: McpSocket, tmp_path: Path, arguments: dict[str, Any], says: str
) -> None:
    result = await client.tool("review", {"workspace": str(tmp_path / "repo"), **arguments})
    assert result["isError"]
    assert says in result["content"][0]["text"]


async def test_of_a_damaged_repository_what_can_be_read_is_reviewed_and_the_rest_is_listed(
    client: McpSocket, emulator: Emulator, tmp_path: Path, repository: GitRepository
) -> None:
    emulator.persona = reader(LEAK)
    repository.commit({"gone.py": "gone\n", "data.bin": b"\0\1"}, "more")
    index = repository.repo.open_index()
    lost, other = (index[name].sha for name in (b"gone.py", b"other.py"))
    index[b"sub"] = IndexEntry(0, 0, 0, 0, 0o160000, 0, 0, 0, other, 0, 0)
    index.write()
    repository.write({"gone.py": "new\n", "data.bin": b"\0\2", "name\udcff.py": "VALUE = 2\n"})
    repository.loose(lost.decode()).unlink()
    found = await review(client, tmp_path)
    assert [each["path"] for each in found["findings"]] == ["pool.py"]
    assert found["looked_at"] == "1 of 1 files"
    for note in (
        "data.bin: no text, or too large",
        f"gone.py: object {lost.decode()[:12]} is missing",
        "files whose names are not UTF-8 are not looked at",
    ):
        assert note in found["notes"]
    staged = await review(client, tmp_path, change="staged")
    assert staged["answer"].startswith("Nothing to review")
    assert staged["notes"] == [f"sub: a submodule, from none to {other.decode()[:12]}"]
    (repository.folder / ".git" / "index").write_bytes(b"broken")
    broken = await client.tool("review", {"workspace": str(repository.folder)})
    assert broken["_meta"]["exai/error"]["code"] == "not_a_repository"
    assert "the index of the repository cannot be read" in broken["content"][0]["text"]


async def test_answers_that_cannot_be_read_are_no_review_without_defects(
    client: McpSocket, emulator: Emulator, tmp_path: Path
) -> None:
    emulator.persona = Persona("fixed", text="The pool leaks.\nNote: fine", object_form="violating")
    found = await review(client, tmp_path)
    assert found["answer"].startswith("Not reviewed: ")
    assert '\n\n│{"emulated":"glm-5.3"' in found["answer"]
    assert found["partial"]
    assert found["looked_at"] == "1 of 1 files"
    assert len(emulator.log.requests) == 4


async def test_your_verdicts_choose_between_other_families_once_there_are_enough(
    start_in_process: StartInProcess, emulator: Emulator, tmp_path: Path, repository: GitRepository
) -> None:
    emulator.persona = reader(LEAK)
    house = {
        "EXAI_FILES__ROOTS": f'["{tmp_path}"]',
        "EXAI_PROVIDERS__CUSTOM__HOUSE__BASE_URL": emulator.addresses.custom,
        "EXAI_PROVIDERS__CUSTOM__HOUSE__API_KEY": emulator.addresses.custom_key,
        "EXAI_MODELS__PREFERRED": '["glm-5.3", "kimi-k3", "house/moa"]',
        "EXAI_PROVIDERS__CUSTOM__HOUSE__MODELS": '[{"name": "moa", "context_tokens": 200000}]',
    }
    async with start_in_process(**house) as daemon, mcp_socket(daemon.mcp_ws) as client:
        tables = daemon.services.storage.findings
        verdicts = Verdicts(tables, SystemClock())
        assert "kimi-k3" in (await review(client, tmp_path, kind="performance"))["model_used"]
        for number, models in enumerate(["kimi-k3"] * 20 + ["house/moa"] * 10):
            shown = ShownFinding(
                finding_id=f"f_{number}",
                owner=LOCAL_SUBJECT,
                repository="/elsewhere",
                fingerprint=str(number),
                category="logic",
                severity="high",
                path="a.py",
                symbol="f",
                quote="x",
                models=models,
                kind="full",
                month="2026-11",
                shown_at=SystemClock().utc(),
            )
            await tables.show([shown])
            is_wrong = models == "kimi-k3" and number % 2
            await verdicts.judge(LOCAL_SUBJECT, shown.finding_id, "wrong" if is_wrong else "accepted", "")
        chosen = await review(client, tmp_path)
        assert chosen["model_used"].split(", ")[1:2] == ["house/moa"], chosen["notes"]
        why = (
            "By your 30 verdicts on findings of reviews of the kind full, right were: house in 10 of 10, kimi in 10 of "
            "20."
        )
        assert f"house/moa was chosen of the other families. {why}" in chosen["notes"]
        assert "house" not in (await review(client, tmp_path, kind="security"))["model_used"], "of that kind"


async def test_above_a_price_a_review_and_a_patch_wait_for_a_budget(
    start_in_process: StartInProcess, emulator: Emulator, tmp_path: Path, repository: GitRepository
) -> None:
    emulator.persona = reader(LEAK)
    limits = {"EXAI_FILES__ROOTS": f'["{tmp_path}"]', "EXAI_WORKFLOWS__CONFIRM_ABOVE_USD": "0.0001"}
    workspace = str(tmp_path / "repo")
    async with start_in_process(**limits) as daemon, mcp_socket(daemon.mcp_ws) as client:
        asked = await review(client, tmp_path)
        assert asked["answer"].startswith("Nothing was asked")
        written = whole(
            await client.tool("write", {"kind": "docs", "paths": ["pool.py"], "workspace": workspace})
        )
        assert (written["applies"], written["next_call"]["paths"]) == (False, ["pool.py"])
        assert not emulator.log.requests
        confirmed = await review(client, tmp_path, budget_usd=asked["next_call"]["budget_usd"])
        assert [each["category"] for each in confirmed["findings"]] == ["resource-leak"]


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("think", {"problem": "Why?"}),
        ("debug", {"problem": "Why does `get` hang?"}),
        ("review", {"paths": ["pool.py"]}),
        ("write", {"kind": "docs", "paths": ["pool.py"]}),
        ("analyze", {"question": "What is in pool.py?", "paths": ["pool.py"]}),
    ],
)
async def test_what_goes_on_in_a_copy_leaves_the_conversation_as_it_is(
    client: McpSocket, emulator: Emulator, tmp_path: Path, tool: str, arguments: dict[str, Any]
) -> None:
    begun = whole(await client.tool("chat", {"prompt": "Remember chervil."}))["continuation_id"]
    asked = len(emulator.log.requests)
    named = {} if tool == "think" else {"workspace": str(tmp_path / "repo")}
    result = await client.tool(tool, {**arguments, **named, "continuation_id": begun, "fork": True})
    assert not result["isError"], result
    copy = whole(result)["continuation_id"]
    messages = [each for request in emulator.log.requests[asked:] for each in request.body["messages"]]
    assert any("Remember chervil." in str(each["content"]) for each in messages), "it goes on from there"
    listed = (await client.tool("conversations", {"action": "list"}))["structuredContent"]["items"]
    assert {each["continuation_id"]: each["exchanges"] for each in listed} == {begun: 1, copy: 2}
