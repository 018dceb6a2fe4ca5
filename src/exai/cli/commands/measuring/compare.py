"""`exai compare`: models beside each other, through a running daemon."""

import asyncio
import itertools
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from exai.cli.command_group import new_app
from exai.cli.comparing.plan import BUILT_IN, AnswerOptions, Plan, make_plan
from exai.cli.comparing.prices import AskedModel, estimated_usd, look_up
from exai.cli.comparing.report import ComparisonReport, comparison_as_markdown, write_comparison
from exai.cli.comparing.running import Running
from exai.cli.comparing.verdicts import compare_models
from exai.cli.data_choice import choose_data
from exai.cli.options import ConfigFile, Overrides, WhichData
from exai.client.connection import CallFailed, Session, connect
from exai.errors import StartFault

__all__ = ["app"]

EXIT_VOID = 1
PATIENCE_S = 5.0
MOST_PROMPT_BYTES = 2**20

app = new_app()


@app.command("compare")
def compare(
    models: Annotated[list[str], typer.Argument(metavar="MODEL MODEL ...", help="Two or more.")],
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Plan, results and report.")] = Path(
        "comparison"
    ),
    blocks: Annotated[
        int, typer.Option("--blocks", min=1, max=10_000, help="Prompts for every model.")
    ] = 200,
    prompts: Annotated[
        Path | None,
        typer.Option("--prompts", metavar="FILE", help="Prompts of your own, parted by lines of ---."),
    ] = None,
    concurrency: Annotated[
        str, typer.Option("--concurrency", metavar="N,N", help="How many calls run at a time, by turns.")
    ] = "1,5,10,20",
    burst: Annotated[
        int,
        typer.Option("--burst", min=0, max=1_000, help="Further blocks that are sent at once, at the end."),
    ] = 0,
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, max=100_000, help="Of an answer.")] = 400,
    temperature: Annotated[float | None, typer.Option("--temperature", min=0, max=2)] = None,
    effort: Annotated[str | None, typer.Option("--effort", help="Of every model; else each its own.")] = None,
    budget_usd: Annotated[
        float, typer.Option("--budget-usd", min=0, help="The plan's estimate may not be above it.")
    ] = 5.0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of everything that is drawn.")] = 1,
    credentials: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What `exai token create --save FILE` wrote.")
    ] = None,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """Compare models through the running daemon: speed, success, cost.

    It is a client of the MCP port like any other. A plan is written first, and an interrupted comparison goes on from
    it. Exit code 1: the run is void.
    """
    chosen = choose_data(config_file, overrides, demo)
    if chosen.address is None:
        raise StartFault(f"No EXAI runs on {chosen.settings.data_dir}. {chosen.how_to_start}")
    if len(set(models)) < 2 or len(set(models)) < len(models):
        raise StartFault("Name two or more different models, as `exai compare glm-5.3 kimi-k3`.")
    texts = _prompts(prompts)
    drawn = make_plan(
        models,
        texts,
        blocks=blocks,
        levels=_levels(concurrency),
        burst=burst,
        seed=seed,
        answers=AnswerOptions(max_tokens, temperature, effort),
    )
    try:
        report = asyncio.run(_run(chosen.address, credentials, drawn, texts, out, budget_usd))
    except CallFailed as fault:
        raise StartFault(str(fault)) from None
    typer.echo(comparison_as_markdown(report), nl=False)
    for path in write_comparison(report, out):
        typer.echo(f"written: {path}", err=True)
    if report.is_void:
        raise typer.Exit(EXIT_VOID)


async def _run(
    address: str, credentials: Path | None, plan: Plan, texts: Sequence[str], out: Path, budget_usd: float
) -> ComparisonReport:
    async with connect(address, credentials=credentials, patience_s=PATIENCE_S) as session:
        found = await look_up(session, plan.models)
        plan = _named(plan, found)
        _check_budget(plan, found, texts, budget_usd)
        _keep(plan, out)
        return await _carried_out(session, plan, texts, out, budget_usd)


async def _carried_out(
    session: Session, plan: Plan, texts: Sequence[str], out: Path, budget_usd: float
) -> ComparisonReport:
    began = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    running = Running(plan, texts, session, out / "results.jsonl", budget_usd)
    if running.blocks:
        typer.echo(f"exai: {len(running.blocks)} of {len(plan.blocks)} blocks are done; going on.", err=True)
    await running.run()
    calls = [call for each in running.blocks.values() for call in each]
    by_model = [{call.model: call for call in each} for _, each in sorted(running.blocks.items())]
    reason = running.punctuality.reason_against
    comparisons = [
        compare_models(by_model, a, b, void=[] if reason is None else [reason], seed=plan.seed)
        for a, b in itertools.combinations(plan.models, 2)
    ]
    return ComparisonReport(
        began,
        plan,
        len(plan.blocks),
        sum(call.emulated for call in calls),
        len(calls),
        running.punctuality.late,
        running.spent_usd,
        tuple(comparisons),
    )


def _named(plan: Plan, found: Sequence[AskedModel]) -> Plan:
    """Return the plan with models by their own names, which answers are compared with."""
    names = dict(zip(plan.models, (model.name for model in found), strict=True))
    if len(set(names.values())) < len(names):
        raise StartFault("Two of these names are the same model; name different ones.")
    blocks = tuple(
        msgspec.structs.replace(block, order=tuple(names[name] for name in block.order))
        for block in plan.blocks
    )
    return msgspec.structs.replace(plan, models=tuple(names.values()), blocks=blocks)


def _check_budget(plan: Plan, models: Sequence[AskedModel], texts: Sequence[str], budget_usd: float) -> None:
    usd, unknown = estimated_usd(plan, models, texts)
    calls = len(plan.blocks) * len(plan.models)
    typer.echo(f"exai: {calls} calls, up to {usd:.2f} USD by list price.", err=True)
    if unknown:
        typer.echo(f"exai: No price is known of {', '.join(unknown)}, which are not in that.", err=True)
    if usd > budget_usd:
        raise StartFault(
            f"The plan may cost {usd:.2f} USD, and --budget-usd allows {budget_usd:g}. Allow more, or ask less: fewer "
            "--blocks, or fewer --max-tokens."
        )


def _keep(plan: Plan, out: Path) -> None:
    """Write the plan before anything is asked.

    Raises:
        StartFault: the folder cannot be written, or has another plan.
    """
    path, body = out / "plan.json", msgspec.json.format(msgspec.json.encode(plan)).decode() + "\n"
    try:
        out.mkdir(parents=True, exist_ok=True)
        if path.exists():
            if path.read_text(encoding="utf-8") != body:
                raise StartFault(
                    f"{out} has another plan; name a new folder by --out, or give the same command."
                )
            return
        path.write_text(body, encoding="utf-8")
    except OSError as error:
        raise StartFault(f"{out} cannot be written: {error.strerror or error}.") from None


def _prompts(path: Path | None) -> Sequence[str]:
    if path is None:
        return BUILT_IN
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise StartFault(f"{path} cannot be read: {reason}.") from None
    found = [part.strip() for part in f"\n{text}\n".split("\n---\n") if part.strip()]
    if not found or len(text.encode()) > MOST_PROMPT_BYTES:
        raise StartFault(f"{path} has to have prompts, parted by lines of ---, and 1 MiB at most.")
    return found


def _levels(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.strip().isascii() and part.strip().isdigit() and 0 < int(part) <= 500 for part in parts):
        raise StartFault(f"--concurrency {ascii(text)[:40]}: write numbers from 1 to 500, as 1,5,10.")
    return [int(part) for part in parts]
