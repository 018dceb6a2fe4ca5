"""Plans, and carrying them out: against scripted sessions, and through the MCP port of a real daemon."""

import asyncio
import json
import os
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner, Result

from exai.cli import build_app
from exai.cli.baselines.open_loop import Punctuality, arrivals, send_at
from exai.cli.comparing.plan import BUILT_IN, BURST, AnswerOptions, Plan, make_plan, prompt_of
from exai.cli.comparing.prices import look_up
from exai.cli.comparing.results import CallResult, append_results, read_results
from exai.cli.comparing.running import WARM_UPS, Running
from exai.client.connection import Answer, Unreachable
from exai.errors import StartFault
from exai_emulator import Emulator, RequestRecord
from support.compared_models import A, B, drawn_blocks
from support.daemons import StartDaemon


def plan_of(blocks: int = 12, *, levels: tuple[int, ...] = (1, 4), burst: int = 0, seed: int = 1) -> Plan:
    return make_plan(
        [A, B], BUILT_IN, blocks=blocks, levels=levels, burst=burst, seed=seed, answers=AnswerOptions(50)
    )


def test_the_same_seed_draws_the_same_plan() -> None:
    plan = plan_of(burst=3)
    assert plan == plan_of(burst=3)
    assert plan != plan_of(burst=3, seed=2)
    assert Counter(block.level for block in plan.blocks) == {1: 6, 4: 6, BURST: 3}
    assert {block.order for block in plan.blocks} == {(A, B), (B, A)}
    assert set(Counter(block.prompt for block in plan.blocks).values()) <= {2, 3, 4, 5}
    assert all(gap == 0 for block in plan.blocks if block.level == BURST for gap in block.gaps)
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan


def test_no_two_calls_begin_with_the_same_line() -> None:
    plan = plan_of()
    lines = {
        prompt_of(plan, block, model, BUILT_IN).splitlines()[0] for block in plan.blocks for model in (A, B)
    }
    assert len(lines) == 24


def answer(model: str) -> Answer:
    report = {
        "tried": [{"model": model, "requests": 1}],
        "usage": {"input": 10, "cached": 0, "output": 5},
        "cost_usd": 0.5,
        "timings": {"first_token_ms": 3.0, "generation_ms": 4.0},
    }
    return Answer("hi", {"model_used": model}, False, {"exai/report": report})


class ScriptedSession:
    """Answers at once, until its daemon goes away."""

    def __init__(self, answers: int = 1_000) -> None:
        self.asked: list[dict[str, Any]] = []
        self._left = answers

    async def call(self, tool: str, arguments: dict[str, Any]) -> Answer:
        assert tool == "chat"
        await asyncio.sleep(0)
        if self._left == 0:
            raise Unreachable(-1, "nothing listens there")
        self._left -= 1
        self.asked.append(arguments)
        return answer(arguments["model"])


def running(plan: Plan, session: ScriptedSession, file: Path, budget_usd: float = 1_000) -> Running:
    return Running(plan, BUILT_IN, session, file, budget_usd)  # type: ignore[arg-type]


@pytest.mark.virtual_time
async def test_an_interrupted_run_goes_on_from_its_plan(tmp_path: Path) -> None:
    plan, file = plan_of(), tmp_path / "results.jsonl"
    with pytest.raises(
        StartFault, match=r"EXAI went away: nothing listens there.*give the same command again"
    ):
        await running(plan, ScriptedSession(2 * WARM_UPS + 15), file).run()
    done = read_results(file, 2)
    assert 0 < len(done) < 12
    with file.open("ab") as broken:
        broken.write(b'{"block": 9, "mod')
    session = ScriptedSession()
    again = running(plan, session, file)
    await again.run()
    assert sorted(again.blocks) == list(range(1, 13))
    assert len(session.asked) == 2 * WARM_UPS + 2 * (12 - len(done))
    assert all(arguments["fallback_models"] == [] for arguments in session.asked), (
        "another model would answer"
    )
    await running(plan, ScriptedSession(0), file).run()


@pytest.mark.virtual_time
async def test_the_budget_ends_a_run(tmp_path: Path) -> None:
    with pytest.raises(StartFault, match="--budget-usd allows 3"):
        await running(plan_of(), ScriptedSession(), tmp_path / "r.jsonl", budget_usd=3).run()


@pytest.mark.virtual_time
async def test_a_daemon_that_is_not_there_is_said_before_anything_counts(tmp_path: Path) -> None:
    with pytest.raises(StartFault, match="does not answer"):
        await running(plan_of(), ScriptedSession(0), tmp_path / "r.jsonl").run()


@pytest.mark.virtual_time
async def test_a_model_that_answers_nothing_ends_a_run_before_anything_counts(tmp_path: Path) -> None:
    class Refusing(ScriptedSession):
        async def call(self, tool: str, arguments: dict[str, Any]) -> Answer:
            given = await super().call(tool, arguments)
            return (
                Answer("Argument 'effort': write low.", None, True, {}) if arguments["model"] == B else given
            )

    session = Refusing()
    with pytest.raises(StartFault, match=rf"{B} answered none of the first 3 calls: Argument 'effort'"):
        await running(plan_of(), session, tmp_path / "r.jsonl").run()
    assert len(session.asked) == 2 * WARM_UPS
    assert not (tmp_path / "r.jsonl").exists()


async def test_a_model_whose_provider_has_no_key_is_refused_before_anything_is_asked() -> None:
    class Unconfigured:
        async def call(self, tool: str, arguments: dict[str, Any]) -> Answer:
            assert (tool, arguments) == ("models", {"model": B})
            models = [{"name": B, "price_usd_per_million": {"input": 1.0, "output": 2.0}}]
            provider = {"name": "kimi", "configured": False, "models": models}
            return Answer("", None, False, {"exai/report": {"providers": [provider]}})

    with pytest.raises(StartFault, match="kimi has no key here, so kimi-k3 cannot be asked; `exai doctor`"):
        await look_up(Unconfigured(), [B])  # type: ignore[arg-type]


@pytest.mark.virtual_time
async def test_a_stall_is_felt_by_all_that_were_meant_meanwhile() -> None:
    """B5: a provider that stands still for 2 s in every 30 s, asked ten times a second."""
    loop = asyncio.get_running_loop()
    began, took = loop.time(), []

    async def ask(_: int, meant: float) -> None:
        at = (loop.time() - began) % 30
        await asyncio.sleep(2 - at if at < 2 else 0.01)
        took.append(loop.time() - meant)

    punctuality = Punctuality()
    await send_at([place / 10 for place in range(3_000)], ask, punctuality)
    took.sort()
    assert took[int(0.99 * len(took))] >= 1.5
    assert punctuality.late == 0


@pytest.mark.virtual_time
async def test_a_sender_that_is_late_voids_the_run() -> None:
    punctuality = Punctuality(sent=100, late=2)
    assert "more than 10 ms late" in (punctuality.reason_against or "")
    assert "all of its core" in (Punctuality(100, 0, 95.0, 100.0).reason_against or "")
    assert Punctuality(100, 1, 5.0, 100.0).reason_against is None


def test_arrivals_are_as_many_as_the_rate_says() -> None:
    found = arrivals(10.0, 5.0, lambda _: 0.1)
    assert len(found) in {49, 50}
    assert found == sorted(found)


def test_a_block_that_lacks_a_model_is_left_out(tmp_path: Path) -> None:
    block = drawn_blocks(1, 1)[0]
    append_results(tmp_path / "r", [block[A]])
    assert read_results(tmp_path / "r", 2) == {}
    append_results(tmp_path / "r", [block[B]])
    assert [len(calls) for calls in read_results(tmp_path / "r", 2).values()] == [2]


def compare(*arguments: str) -> Result:
    return CliRunner().invoke(build_app(), ["compare", *arguments])


@pytest.mark.usefixtures("data_dir")
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((A,), "Name two or more different models"),
        ((A, A), "Name two or more different models"),
        ((A, B, "--concurrency", "0"), "write numbers from 1 to 500"),
        ((A, B, "--prompts", "missing"), "cannot be read"),
        ((A, B, "--prompts", "empty"), "parted by lines of ---"),
        ((A, B, "--demo"), "Start it with `exai serve --demo`"),
    ],
)
def test_bad_input_is_refused_before_anything_is_asked(
    arguments: tuple[str, ...], sentence: str, tmp_path: Path
) -> None:
    (tmp_path / "empty").write_text("---\n")
    result = compare(*arguments)
    assert result.exit_code != 0
    assert sentence in str(result.exception)


def assert_ledger_agrees(emulator: Emulator, report: Mapping[str, Any], folder: Path) -> None:
    """Compare what is concluded from with what the emulated providers know: requests, models, tokens, charges."""
    plan, results = report["plan"], (folder / "results.jsonl").read_text().splitlines()
    calls = [msgspec.json.decode(line, type=CallResult) for line in results]
    asked: dict[str | None, list[RequestRecord]] = defaultdict(list)
    for request in emulator.log.requests:
        asked[request.model].append(request)
    assert set(asked) == set(plan["models"])
    for model in plan["models"]:
        own = [call for call in calls if call.model == model]
        assert len(asked[model]) == WARM_UPS + sum(call.requests for call in own) == WARM_UPS + 8
        charged = [each.charged for each in asked[model][WARM_UPS:] if each.charged is not None]
        assert Counter((each.prompt, each.cached, each.output) for each in charged) == Counter(
            (call.input_tokens, call.cached_tokens, call.output_tokens) for call in own
        )


async def test_models_are_compared_through_a_real_daemon(
    start_daemon: StartDaemon, emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start_daemon() as daemon:
        for name in [name for name in os.environ if name.startswith("EXAI_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("EXAI_DATA_DIR", str(tmp_path / "elsewhere"))
        monkeypatch.setenv("EXAI_SERVER__PORT", daemon.mcp_ws.rpartition(":")[2].removesuffix("/mcp"))
        monkeypatch.chdir(tmp_path)

        def asked(*arguments: str) -> Result:
            return compare("glm-5.3", "kimi-k3", "--blocks", "8", "--concurrency", "2", *arguments)

        result = await asyncio.to_thread(asked)
        assert not isinstance(result.exception, StartFault), result.exception
        report = json.loads((tmp_path / "comparison" / "report.json").read_text())
        (found,) = report["comparisons"]
        assert found["blocks"] == 8
        assert report["calls"] == 16
        reasons = [reason for reason in found["void"] if " late " not in reason]
        assert reasons == []
        assert result.exit_code == bool(found["void"])
        assert "# glm-5.3 and kimi-k3" in result.stdout
        page = (tmp_path / "comparison" / "report.html").read_text()
        assert "<script" not in page
        assert_ledger_agrees(emulator, report, tmp_path / "comparison")

        again = await asyncio.to_thread(asked)
        assert "8 of 8 blocks are done" in again.stderr
        for further, sentence in (
            (("--seed", "2"), "has another plan"),
            (("--budget-usd", "0.000001", "--out", "poor"), "--budget-usd allows 1e-06"),
        ):
            refused = await asyncio.to_thread(asked, *further)
            assert sentence in str(refused.exception)
        assert not (tmp_path / "poor").exists()
        unknown = await asyncio.to_thread(compare, "glm-5.3", "kimi-k33", "--out", "x")
        assert "`exai models` lists models" in str(unknown.exception)
        assert "kimi-k3" in str(unknown.exception)
        twice = await asyncio.to_thread(compare, "glm-5.3", "GLM-5.3", "--out", "x")
        assert "same model" in str(twice.exception)
