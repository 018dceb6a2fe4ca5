"""An engine of workflows before scripted models of two families, in processes that die at a commit of one's choice."""

import asyncio
import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from typing_extensions import override

from exai import config
from exai.callers import Caller, Door
from exai.consulting.consultant import Consultant
from exai.consulting.context import CallContext
from exai.conversations.conversations import Conversations
from exai.conversations.token_counts import TokenCounts
from exai.evidence.workspace import Workspaces
from exai.files.heavy_work import HeavyWork
from exai.providers.catalog import Model, Price
from exai.routing.progress import SilentProgress
from exai.routing.router import Choice
from exai.runtime.clock import Clock, ManualClock
from exai.storage.conversations.calibrations import CalibrationTable
from exai.storage.conversations.tables import ConversationTables, NewExchange
from exai.storage.database import Database
from exai.storage.workflows.evidence import EvidenceRows
from exai.storage.workflows.findings import FindingTables
from exai.storage.workflows.runs import Run, Step, WorkflowTables
from exai.workflows.engine import Engine
from exai.workflows.guided_runs import GuidedRuns
from exai.workflows.stages.stages import Stages
from exai.workflows.treatments.treated import Ports
from support.file_sources import file_sources
from support.scripted import MODEL, ScriptedProvider, asker, asking

__all__ = ["GLM", "KIMI", "Commits", "Killed", "Process", "TwoFamilies", "caller", "open_process"]

_CHEAP = Price(input=0.01, cached_input=None, output=0.02, checked="2026-01-01")
GLM = replace(MODEL, name="glm-x", wire_name="glm-x", price=_CHEAP)
KIMI = replace(MODEL, name="kimi-x", wire_name="kimi-x", price=_CHEAP)
"""A request costs two cents."""

_numbers = itertools.count(1)


class Killed(BaseException):
    """The process is dead: nothing of it runs any more."""


class Commits:
    """Counts the commits of a process; at one of them the process dies, or whoever called leaves."""

    def __init__(
        self, dies_at: int | None = None, *, before: bool = False, during: bool = False, leaves: bool = False
    ) -> None:
        """`before` or `during` the commit and not after it; `leaves`: the caller, and not the process."""
        self.count = 0
        self._dies_at = dies_at
        self._before = before
        self._during = during
        self._leaves = leaves
        self.call: asyncio.Task[Any] | None = None
        """Whose caller leaves; without one it is the task that commits. A call may ask several models in tasks of its
        own."""

    def begin(self) -> None:
        self.count += 1
        if self.count != self._dies_at:
            return
        if self._before:
            self._end_all()
        if self._during:
            task = self.call or asyncio.current_task()
            assert task is not None
            asyncio.get_running_loop().call_soon(task.cancel)

    def end(self) -> None:
        if self.count == self._dies_at and not self._before and not self._during:
            self._end_all()

    def _end_all(self) -> None:
        if self._leaves and self.call is not None:
            self.call.cancel()
        raise asyncio.CancelledError if self._leaves else Killed


class TwoFamilies:
    """Models by name; `auto` takes the first, and the others may take over."""

    def __init__(self, provider: ScriptedProvider, *models: Model) -> None:
        provider.models = MappingProxyType({model.name: model for model in models})
        self.providers = {provider.name: provider}
        self._models = models

    def resolve(self, requested: str | None, **_: Any) -> Choice:
        if requested is None or requested == "auto":
            return Choice(self._models[0], requested, None, self._models[1:])
        return Choice(next(model for model in self._models if model.name == requested), requested, None)

    def is_ready(self, _: Model) -> bool:
        return True

    async def close(self) -> None:
        pass


class _Runs(WorkflowTables):
    def __init__(
        self, database: Database, clock: Clock, process: str, commits: Commits, dead: set[str]
    ) -> None:
        super().__init__(database, clock)
        self.process = process
        self._commits = commits
        self._dead = dead

    @override
    async def is_over(self, process: str) -> bool:
        return process in self._dead

    @override
    async def begin(self, run: Run, arguments: str | None = None) -> Run:
        self._commits.begin()
        kept = await super().begin(run, arguments)
        self._commits.end()
        return kept

    @override
    async def change(
        self, run: Run, steps: Sequence[Step] = (), evidence: EvidenceRows | None = None, **fields: Any
    ) -> Run | None:
        self._commits.begin()
        changed = await super().change(run, steps, evidence, **fields)
        self._commits.end()
        return changed


class _Exchanges(ConversationTables):
    def __init__(self, database: Database, commits: Commits) -> None:
        super().__init__(database)
        self._commits = commits

    @override
    async def begin(self, exchange: NewExchange) -> None:
        self._commits.begin()
        await super().begin(exchange)
        self._commits.end()

    @override
    async def append(self, exchange: NewExchange) -> int | None:
        self._commits.begin()
        number = await super().append(exchange)
        self._commits.end()
        return number


class Process:
    """A process on a database: its engine, and what makes the contexts of its calls."""

    def __init__(
        self,
        name: str,
        engine: Engine,
        guided: GuidedRuns,
        tables: WorkflowTables,
        context: Callable[[Caller], CallContext],
    ) -> None:
        self.name = name
        self.engine = engine
        self.guided = guided
        self.tables = tables
        self.context = context


async def open_process(
    database: Database,
    provider: ScriptedProvider,
    folder: Path,
    *,
    models: tuple[Model, ...] = (GLM, KIMI),
    clock: Clock | None = None,
    commits: Commits | None = None,
    dead: set[str] | None = None,
    seconds: float = 100.0,
) -> Process:
    """Open one, whose calls have so many seconds.

    It takes those whose names are in `dead` for processes that have gone.
    """
    clock, commits = clock or ManualClock(), commits or Commits()
    router: Any = TwoFamilies(provider, *models)
    conversations = Conversations(_Exchanges(database, commits), clock, 50)
    files = file_sources(database, folder, folder)
    workspaces = Workspaces(files.settings, HeavyWork(files.settings), files.snapshots, files.shelf)
    consultant = Consultant(
        router=router,
        conversations=conversations,
        files=files,
        limits=config.Conversations(),
        tool_limits=config.ToolLoop(),
        counts=await TokenCounts.open(CalibrationTable(database), clock),
        clock=clock,
    )
    name = f"process_{next(_numbers)}"
    tables = _Runs(database, clock, name, commits, dead if dead is not None else set())
    ports = Ports(workspaces, FindingTables(database), files.shelf, clock)
    stages = Stages(consultant, conversations, router, ports)
    engine = Engine(tables, stages, clock)
    ask_with = asking(router, clock=clock)

    def context(caller: Caller) -> CallContext:
        return CallContext(
            f"call_{next(_numbers)}", caller, asker(ask_with, seconds=seconds), SilentProgress()
        )

    return Process(name, engine, GuidedRuns(tables, stages, clock, engine), tables, context)


def caller(subject: str = "anna") -> Caller:
    """A caller who may do everything."""
    return replace(Caller.local(Door.WEBSOCKET), subject=subject)
