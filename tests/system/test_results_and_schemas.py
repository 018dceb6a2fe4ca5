"""What every tool returns is what its entry in the list says, in every variant, over a real door."""

from pathlib import Path
from typing import Any

from exai_emulator import Emulator, Fault, Persona
from support.daemons import StartDaemon
from support.drawn_pictures import drawn
from support.mcp_websocket import McpSocket, mcp_socket
from support.results import whole
from support.schemas import check_result

KEY = "exai/idempotency-key"


class Checked:
    """Calls tools and checks each result against the list."""

    def __init__(self, socket: McpSocket, tools: list[dict[str, Any]]) -> None:
        self._socket = socket
        self._tools = {tool["name"]: tool for tool in tools}

    async def call(
        self, name: str, _meta: dict[str, Any] | None = None, of: str | None = None, **arguments: Any
    ) -> dict[str, Any]:
        params = {"name": name, "arguments": arguments, **({} if _meta is None else {"_meta": _meta})}
        result: dict[str, Any] = (await self._socket.request("tools/call", params))["result"]
        check_result(result, self._tools.get(of or name, {"name": of or name, "outputSchema": {}}))
        return result


async def checked(socket: McpSocket) -> Checked:
    return Checked(socket, (await socket.request("tools/list"))["result"]["tools"])


def well(result: dict[str, Any]) -> dict[str, Any]:
    assert not result["isError"], result
    return whole(result)


async def test_every_variant_of_chat(start_daemon: StartDaemon, emulator: Emulator, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("heron " * 200)
    (tmp_path / "b.png").write_bytes(drawn("PNG", 30, 20))
    settings = {
        "EXAI_FILES__ROOTS": f'["{tmp_path}"]',
        "EXAI_RETRY__MAX_RETRIES": "0",
        "EXAI_CONVERSATIONS__MAX_EXCHANGES": "2",
    }
    async with start_daemon(**settings) as daemon, mcp_socket(daemon.mcp_ws) as socket:
        call = (await checked(socket)).call

        first = well(await call("chat", prompt="Hello.", model="glm-5.3", effort="high"))
        assert first["call_id"].startswith("call_")
        assert first["timings"]["latency_ms"] > 0
        more = well(await call("chat", prompt="Go on.", continuation_id=first["continuation_id"]))
        assert more["context"]["exchanges_included"] == 1
        full = await call("chat", prompt="Once more.", continuation_id=first["continuation_id"])
        assert full["isError"]

        files = well(await call("chat", prompt="Read.", absolute_file_paths=[str(tmp_path / "a.txt")]))
        assert files["context"]["files"]
        (tmp_path / "large.txt").write_text("a line\n" * 400_000)
        large = well(await call("chat", prompt="Read.", absolute_file_paths=[str(tmp_path / "large.txt")]))
        assert [each["from_line"] for each in large["more"]] == [61]
        assert well(await call("chat", prompt="Look.", images=[str(tmp_path / "b.png")]))["context"]["images"]

        for model in ("glm-5.3", "kimi-k3", "kimi-k2.6"):
            found = well(await call("chat", prompt="Owls?", model=model, use_websearch=True))
            assert "search" in found["cost"] or "unknown" in found["cost"], model

        emulator.persona = Persona(kind="long", tokens=50)
        cut = well(
            await call("chat", prompt="A story.", model="glm-5.3", effort="none", max_answer_tokens=10)
        )
        assert cut["finish_reason"] == "length"
        emulator.persona = Persona()

        emulator.faults.add("glm", Fault(error="500", times=None))
        taken_over = well(await call("chat", prompt="Hello.", model="glm-5.3", fallback_models=["kimi-k3"]))
        assert [each["model"] for each in taken_over["tried"]] == ["glm-5.3", "kimi-k3"]
        failed = await call("chat", prompt="Hello.", model="glm-5.3")
        assert failed["_meta"]["exai/error"]["tried"]
        emulator.faults.add("glm", Fault(error="1302", times=None))
        throttled = await call("chat", prompt="Hello.", model="glm-4.7")
        assert throttled["_meta"]["exai/error"]["retryable"]
        assert (await call("chat", prmpt="Hello."))["isError"]


async def test_every_variant_of_analyze(start_daemon: StartDaemon, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def first():\n    return second()\n\n\ndef second():\n    return 1\n")
    async with (
        start_daemon(EXAI_FILES__ROOTS=f'["{tmp_path}"]') as daemon,
        mcp_socket(daemon.mcp_ws) as socket,
    ):
        call = (await checked(socket)).call
        assert well(await call("analyze", question="What is there?"))["evidence"]
        for kind in ("trace", "dependencies"):
            assert well(await call("analyze", question="Why?", kind=kind, target="first"))["graph"]["edges"]
        assert (await call("analyze", question="Why?", kind="trace"))["isError"]


async def test_streamed_and_recalled_results_are_the_same_as_any(start_daemon: StartDaemon) -> None:
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        call = (await checked(socket)).call
        well(await call("chat", {"progressToken": "p"}, prompt="Hello."))
        assert any(each["method"] == "notifications/progress" for each in socket.notifications)
        first = await call("chat", {KEY: "k1"}, prompt="Hello.")
        again = await call("chat", {KEY: "k1"}, prompt="Hello.")
        assert whole(again) == whole(first)
        assert again["_meta"]["exai/idempotent-call"]["recalled"] == "stored"
        assert (await call("chat", {KEY: "k1"}, prompt="Another."))["isError"]
        kept_error = [await call("chat", {KEY: "k2"}, prompt="Hello.", model="none") for _ in range(2)]
        assert all(each["isError"] for each in kept_error)
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        after_restart = await (await checked(socket)).call("chat", {KEY: "k1"}, prompt="Hello.")
        assert whole(after_restart) == whole(first)


async def test_every_variant_of_consensus_and_challenge(
    start_daemon: StartDaemon, emulator: Emulator, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("heron")
    shown: dict[str, Any] = {"absolute_file_paths": [str(tmp_path / "a.txt")]}
    vote = {
        "verdict": "support",
        "confidence": 8,
        "points": ["It is simple."],
        "would_change_my_mind": "A fire.",
    }
    settings = {"EXAI_RETRY__MAX_RETRIES": "0", "EXAI_FILES__ROOTS": f'["{tmp_path}"]'}
    async with start_daemon(**settings) as daemon, mcp_socket(daemon.mcp_ws) as socket:
        call = (await checked(socket)).call
        emulator.persona = Persona(fields={**vote, "summary": "They agree.", "reasons": ["So it is."]})

        strong = well(await call("consensus", {"progressToken": "p"}, question="A queue?", **shown))
        assert strong["majority"] == "support"
        assert strong["arbiter"] not in strong["families"]
        assert any("voted support" in str(each) for each in socket.notifications)
        emulator.personas.set(Persona(fields={**vote, "verdict": "oppose"}), provider="kimi")
        models = ["glm-5.3", "kimi-k3"]
        weak = well(await call("consensus", {KEY: "k"}, question="A queue?", models=models))
        assert (weak["weak"], weak["rounds"], "majority" in weak) == (True, 2, False)
        again = await call("consensus", {KEY: "k"}, question="A queue?", models=models)
        assert whole(again) == weak
        emulator.faults.add("kimi", Fault(error="server_error", times=None))
        partly = well(await call("consensus", question="A queue?", models=[*models, "glm-5.2"]))
        assert [each["model"] for each in partly["without_vote"]] == ["kimi-k3"]
        incomplete = await call("consensus", question="A queue?", models=models)
        assert incomplete["_meta"]["exai/error"]["code"] == "consensus_incomplete"
        assert "glm-5.3: support" in incomplete["content"][0]["text"]
        refused = await call("consensus", question="A queue?", budget_usd=0.0001)
        assert refused["_meta"]["exai/error"]["code"] == "budget_too_small"

        emulator.persona = Persona()
        assert well(await call("challenge", statement="Owls see at night."))["answer"]
        judged = well(await call("challenge", statement="Owls see at night.", independent=True, **shown))
        assert judged["verdict"] in {"holds", "fails", "open"}
        emulator.persona = Persona(object_form="violating")
        unread = well(await call("challenge", statement="Owls see at night.", model="glm-5.3"))
        assert unread["structured"] is False


async def test_every_variant_of_search(start_daemon: StartDaemon, emulator: Emulator) -> None:
    async with (
        start_daemon(EXAI_RETRY__MAX_RETRIES="0") as daemon,
        mcp_socket(daemon.mcp_ws) as socket,
    ):
        call = (await checked(socket)).call
        for engine in ("auto", "kimi", "glm"):
            found = well(await call("search", query="owls", engine=engine, count=2))
            assert len(found["results"]) == 2, engine
            assert found["timings"]["tools_ms"] > 0, engine
        well(await call("search", query="owls", recency="week", domains=["example.org"]))
        emulator.faults.add("kimi", Fault(error="empty_403", path="/tools/search", times=None))
        assert well(await call("search", query="owls"))["notes"]
        assert (await call("search", query="owls", engine="kimi"))["isError"]
        assert (await call("search", query=" "))["isError"]


async def test_every_variant_of_models_and_status(start_daemon: StartDaemon, emulator: Emulator) -> None:
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        call = (await checked(socket)).call
        well(await call("models"))
        well(await call("status"))
        well(await call("chat", prompt="A prompt that is long enough to learn from. " * 40, model="glm-5.3"))
        emulator.faults.add("kimi", Fault(error="quota", times=None))
        assert (await call("chat", prompt="Hello.", model="kimi-k3"))["isError"]
        providers = well(await call("models"))["providers"]
        models = {model["name"]: model for provider in providers for model in provider["models"]}
        assert models["glm-5.3"]["token_estimate"]
        assert models["glm-5.3"]["health"]
        assert models["kimi-k3"]["breaker"]["cause"]
        well(await call("models", provider="kimi"))
        well(await call("listmodels", of="models"))
        assert (await call("models", provider="none"))["isError"]
        listed = well(await call("status", section="models"))
        assert [each["name"] for each in listed["models"]["providers"]] == ["glm", "kimi"]
        for name in ("kimi", "kimi-k3"):
            (only,) = well(await call("status", section="models", id=name))["models"]["providers"]
            assert only["name"] == "kimi"
        assert (await call("status", section="models", id="none"))["isError"]

        whole = well(await call("status"))
        assert set(whole) == {"service", "providers", "limits", "jobs", "duties", "usage", "errors"}
        assert [each["open_breakers"] for each in whole["providers"] if each["name"] == "kimi"] != [[]]
        assert whole["usage"]
        assert whole["errors"]
        for section in whole:
            beside = {"usage": {"names"}, "errors": {"groups"}}.get(section, set())
            assert set(well(await call("status", section=section))) == {section} | beside
        well(await call("version", of="status"))


async def test_every_variant_of_files(start_daemon: StartDaemon, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("heron")
    async with (
        start_daemon(EXAI_FILES__ROOTS=f'["{tmp_path}"]') as daemon,
        mcp_socket(daemon.mcp_ws) as socket,
    ):
        call = (await checked(socket)).call
        assert well(await call("files", action="list")) == {"files": []}
        put = well(await call("files", action="put", path=str(tmp_path / "a.txt")))
        assert (await call("files", action="put", path="/etc/passwd"))["isError"]
        assert well(await call("files", action="list"))["files"] == [put]
        assert well(await call("files", action="show", id=put["id"]))["sha256"]
        assert well(await call("files", action="read", id=put["id"]))["lines"] == "   1│heron\n"
        assert well(await call("files", action="delete", id=put["id"]))["removed"]
        unknown = await call("files", action="show", id=put["id"])
        assert unknown["_meta"]["exai/error"]["code"] == "unknown_file"
