"""Investigations for `scripts/bench investigate`: whole ones timed in a daemon, and seeded faults put to models."""

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.calls import first_line, process
from exai import config
from exai.app.services import build
from exai.app.watching.investigator_models import InvestigatorModels
from exai.app.watching.patch_checks import CommitPatches
from exai.config.sources import load
from exai.error_tracking.investigation.bundle import EvidenceBundle, FurtherItem, Subject
from exai.error_tracking.investigation.desk import InvestigationDesk
from exai.error_tracking.investigation.investigator import (
    Failed,
    Investigator,
    Postponed,
    Reported,
    Spent,
    Stage,
)
from exai.error_tracking.investigation.report import InvestigationReport
from exai.runtime.clock import SystemClock
from exai.storage.database import Database
from exai.storage.database_file import FILE_NAME
from exai_emulator import Emulator, EmulatorOptions, Fault, Persona, running
from support.daemons import clean_environ
from support.emulated import provider_environment
from support.migrated_databases import migrated_sqlite
from support.seeded_faults import Judged
from support.tracked_faults import tracked

__all__ = ["LevelTable", "keys_of", "put_to_emulated_models", "put_to_models", "timed"]

ANSWER_MS = 3_000
CONDUCTS = ("honest", "misquotes")
"""Of the emulated investigator, in turns: two requests, and three as its first citations do not hold."""
BOUNDS = {
    "EXAI_INVESTIGATION__HOURLY_REQUESTS": "1000",
    "EXAI_INVESTIGATION__DAILY_USD": "20",
    "EXAI_GUARDS__REPEATS": "0",
}
LEVELS = ("likely", "possible", "disputed", "unknown")


async def timed(times: int) -> tuple[list[float], list[int]]:
    """Run whole investigations in a daemon whose emulated models take three seconds for an answer.

    Return how long each took from the moment it was asked for, and how many requests it made.
    """
    with tempfile.TemporaryDirectory(prefix="exai-investigations-") as name:
        folder = Path(name) / "data"
        folder.mkdir(mode=0o700)
        url = migrated_sqlite(folder / FILE_NAME)
        database = await Database.open(config.Database.model_validate({"url": url}), folder)
        reported = await tracked(database)
        for number in range(times):
            reported.fail("a row is gone", type(f"Broken{number}", (LookupError,), {}))
        await reported.counted()
        try:
            async with running(EmulatorOptions()) as emulator:
                for provider in ("glm", "kimi"):
                    emulator.faults.add(provider, Fault(before_headers_ms=ANSWER_MS, times=None))
                environ = {**clean_environ(folder, provider_environment(emulator)), **BOUNDS}
                command = [str(Path(sys.executable).parent / "exai"), "serve", "--ready-json"]
                with process(command, core=0, env=environ, stderr=subprocess.DEVNULL) as daemon:
                    await asyncio.to_thread(first_line, daemon)
                    return await _one_after_the_other(database, emulator, times)
        finally:
            await database.close()


async def _one_after_the_other(
    database: Database, emulator: Emulator, times: int
) -> tuple[list[float], list[int]]:
    desk = InvestigationDesk(database, SystemClock(), "manual")
    seconds, requests = [], []
    for number in range(times):
        emulator.personas.set(Persona("investigator", conduct=CONDUCTS[number % len(CONDUCTS)]))  # type: ignore[arg-type]
        asked = await desk.ask(number + 1, "local:benchmark")
        view = await desk.follow(asked.investigation, lambda _: None)
        if view is None or view.ended_at is None or view.report is None:
            raise SystemExit(f"an investigation has no report: {view and view.why}")
        seconds.append((view.ended_at - view.asked_at).total_seconds())
        requests.append(view.requests)
    return seconds, requests


@dataclass
class LevelTable:
    """How often each computed level was right, by the models that were asked."""

    right: Counter[str]
    all: Counter[str]
    models: Sequence[str]
    requests: int
    tokens: int
    usd: float | None
    seconds: list[float]
    emulated: bool

    def lines(self) -> list[str]:
        """Return a line for each level."""
        return [
            f"{level:<10} right {self.right[level]:>2} of {self.all[level]:>2}" for level in (*LEVELS, "none")
        ]


class _Gathered:
    """Has the evidence that was gathered before."""

    def __init__(self, bundle: EvidenceBundle) -> None:
        self._bundle = bundle

    async def gather(self, _: Subject) -> EvidenceBundle:
        return self._bundle

    async def gather_more(
        self, _: Subject, bundle: EvidenceBundle, __: Sequence[FurtherItem]
    ) -> EvidenceBundle:
        return bundle


class _Unnoted:
    async def stage(self, _: Stage, *, asks: bool) -> bool:  # noqa: ARG002 - part of the protocol
        return True

    async def spent(self, tokens: int, cost_usd: float | None) -> None:
        """Note nothing: no process takes it up."""


async def put_to_models(
    judged: Sequence[Judged], environ: Mapping[str, str], *, emulated: bool
) -> LevelTable:
    """Have the models of the settings investigate each fault from its bundle, and see which levels were right.

    A report is right if a citation that holds has what decides of the fault.
    """
    table = LevelTable(Counter(), Counter(), (), 0, 0, 0.0, [], emulated)
    with tempfile.TemporaryDirectory(prefix="exai-levels-") as name:
        folder = Path(name) / "data"
        folder.mkdir(mode=0o700)
        migrated_sqlite(folder / FILE_NAME)
        given = {**clean_environ(folder, environ), **BOUNDS}
        settings = load(environ=given, config_file=None, overrides=(), cwd=folder.parent).settings
        async with build(settings, version="0", runs_jobs=False) as services:
            models = InvestigatorModels(
                services.dispatcher, services.asking, settings.investigation, services.monitoring.bus
            )
            for each in judged:
                if each.bundle is None or each.subject is None:
                    continue
                investigator = Investigator(
                    _Gathered(each.bundle),
                    models,
                    CommitPatches(),
                    services.clock,
                    settings.investigation.usd,
                )
                outcome = await investigator.investigate(each.subject, None, _Unnoted(), Spent())
                _add(table, each, outcome)
    return table


def _add(table: LevelTable, judged: Judged, outcome: Reported | Failed | Postponed | None) -> None:
    if not isinstance(outcome, Reported):
        table.all["none"] += 1
        print(f"{judged.seeded.name}: no report, {getattr(outcome, 'why', 'cancelled')}")
        return
    report = outcome.report
    table.all[report.level] += 1
    is_right = _is_right(judged, report, outcome.bundle)
    table.right[report.level] += is_right
    table.models = sorted({*table.models, *(model.name for model in report.models)})
    table.requests += report.requests
    table.tokens += report.tokens
    table.usd = None if table.usd is None or report.cost_usd is None else table.usd + report.cost_usd
    table.seconds.append(report.seconds)
    print(
        f"{judged.seeded.name}: {report.level}, {'right' if is_right else 'wrong'}: {json.dumps(report.cause)[:120]}"
    )


def _is_right(judged: Judged, report: InvestigationReport, bundle: EvidenceBundle) -> bool:
    kinds = {piece.evidence_id: piece.kind for piece in bundle.pieces}
    return any(
        kinds.get(each.citation.evidence.strip()) == judged.seeded.kind
        and re.search(judged.seeded.deciding, each.citation.quote) is not None
        for step in report.chain
        for each in step.citations
        if each.is_verified
    )


async def put_to_emulated_models(judged: Sequence[Judged]) -> LevelTable:
    """Do the same with the emulator, which cites the first line that it is shown: the machinery, and no accuracy."""
    async with running(EmulatorOptions()) as emulator:
        emulator.personas.set(Persona("investigator", conduct="honest"))
        return await put_to_models(judged, provider_environment(emulator), emulated=True)


def keys_of(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the keys of real providers that are set."""
    return {name: environ[name] for name in ("GLM_API_KEY", "KIMI_API_KEY") if environ.get(name)}
