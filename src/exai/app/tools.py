"""Builds the tools, and what they remember of conversations."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from exai.app.faults.tracking import FaultTracking
from exai.app.files import ToolFiles
from exai.app.monitoring import Monitoring
from exai.app.storage import Storage
from exai.app.watching.auditor import build_auditor
from exai.config import Server, Settings
from exai.consulting.consultant import Consultant
from exai.consulting.files.gathering import FileSources
from exai.consulting.files.provider_reading import ProviderReader
from exai.conversations.conversations import Conversations
from exai.conversations.token_counts import TokenCounts
from exai.jobs.durable import DurableJobs
from exai.monitoring.auditor.auditor import Auditor
from exai.routing.request import Asking
from exai.runtime.periodic import Scheduler
from exai.storage.error_tracking.following import GroupChanges
from exai.storage.error_tracking.projects import ProjectTables
from exai.tools.challenge import Challenge
from exai.tools.chat import Chat
from exai.tools.conversations.compacting import Compacting
from exai.tools.conversations.conversations import ConversationsTool
from exai.tools.files import Files, FileServices
from exai.tools.models import Models
from exai.tools.older.echo import Echo
from exai.tools.registry import Registry
from exai.tools.search import Search
from exai.tools.status import Status
from exai.tools.system_report import ModelStates, SystemReport
from exai.tools.voting.consensus import ConsensusTool
from exai.tools.watching.auditor import AuditorTool
from exai.tools.watching.error_handlers import ErrorHandlers
from exai.tools.watching.error_tools import ErrorsTool
from exai.tools.workflows.analyze import Analyze
from exai.tools.workflows.calls import WorkflowCalls
from exai.tools.workflows.debug import Debug
from exai.tools.workflows.plan import PlanTool
from exai.tools.workflows.review import Patches, Review
from exai.tools.workflows.think import Think
from exai.tools.writing.write import Write
from exai.workflows.definitions import workflows_with
from exai.workflows.engine import Engine
from exai.workflows.guided_runs import GuidedRuns
from exai.workflows.plans import Plans
from exai.workflows.review.verdicts import Verdicts
from exai.workflows.stages.stages import Stages
from exai.workflows.treatments.treated import Ports

__all__ = ["Tools", "open_tools"]


@dataclass(frozen=True)
class Tools:
    """The tools, what `status` and the dashboard show, and what `auditor` tells of."""

    registry: Registry
    report: SystemReport
    auditor: Auditor
    errors: ErrorHandlers


@asynccontextmanager
async def open_tools(
    settings: Settings,
    storage: Storage,
    monitoring: Monitoring,
    asking: Asking,
    jobs: DurableJobs | None,
    scheduler: Scheduler,
    files: ToolFiles,
    faults: FaultTracking,
) -> AsyncIterator[Tools]:
    """Register every tool; leaving stores what was learnt about token counts."""
    counts = await TokenCounts.open(storage.calibrations, asking.clock)
    conversations = Conversations(storage.conversations, asking.clock, settings.conversations.max_exchanges)
    consultant = _consultant(settings, conversations, asking, files, counts)
    states = ModelStates(asking.router, monitoring.health, asking.breakers, counts.of)
    report = SystemReport(
        clock=asking.clock,
        began=asking.clock.monotonic(),
        demo=bool(asking.emulated),
        loop_lag=monitoring.loop_lag,
        models=states,
        admission=asking.admission,
        jobs=lambda: {} if jobs is None else jobs.counts,
        duties=scheduler,
        journal=storage.journal,
        usage=storage.usage,
        use=storage.use,
        calls=storage.recorded_calls,
        archive=storage.archive,
        errors=faults.console,
        running=monitoring.running_calls,
    )
    models = Models(states)
    auditor = build_auditor(storage, monitoring, asking.clock)
    handlers = _error_handlers(storage, faults, auditor, asking)
    tools = (
        Chat(consultant),
        *_workflow_tools(settings, storage, consultant, conversations, files, asking),
        *_further_questions(consultant, asking),
        Files(_file_services(files, settings)),
        models,
        Status(report, models, Verdicts(storage.findings, asking.clock)),
        _conversations_tool(consultant, conversations, storage),
        AuditorTool(auditor, storage.budgets, settings.auditor, monitoring.bus.publish),
        ErrorsTool(handlers),
        Echo(),
    )
    try:
        yield Tools(_registry(tools, settings), report, auditor, handlers)
    finally:
        counts.store_soon()


def _registry(tools: Sequence[Any], settings: Settings) -> Registry:
    return Registry([each.tool() for each in tools], settings.tools.hidden)


def _error_handlers(
    storage: Storage, faults: FaultTracking, auditor: Auditor, asking: Asking
) -> ErrorHandlers:
    return ErrorHandlers(
        faults.console,
        faults.intake,
        ProjectTables(storage.database, asking.clock),
        GroupChanges(storage.database),
        auditor.observations,
        faults.investigations.desk,
        asking.clock,
    )


def _further_questions(consultant: Consultant, asking: Asking) -> tuple[ConsensusTool, Challenge, Search]:
    """Build the tools beside `chat` whose work is one call."""
    return ConsensusTool(consultant), Challenge(consultant), Search(asking.router)


def _consultant(
    settings: Settings, conversations: Conversations, asking: Asking, files: ToolFiles, counts: TokenCounts
) -> Consultant:
    return Consultant(
        router=asking.router,
        conversations=conversations,
        files=_sources(files, settings),
        limits=settings.conversations,
        tool_limits=settings.tool_loop,
        counts=counts,
        clock=asking.clock,
    )


def _conversations_tool(
    consultant: Consultant, conversations: Conversations, storage: Storage
) -> ConversationsTool:
    compacting = Compacting(consultant, conversations, storage.archive)
    return ConversationsTool(conversations, storage.archive, compacting)


def _workflow_tools(
    settings: Settings,
    storage: Storage,
    consultant: Consultant,
    conversations: Conversations,
    files: ToolFiles,
    asking: Asking,
) -> tuple[Think, Debug, Review, Analyze, Write, PlanTool]:
    """Build the tools whose work outlives a call.

    Raises:
        StartFault: a definition is wrong.
    """
    stored, clock = files.stored, asking.clock
    ports = Ports(stored.workspaces, storage.findings, stored.shelf, clock)
    stages = Stages(consultant, conversations, asking.router, ports)
    engine = Engine(storage.workflows, stages, clock, settings.workflows.confirm_above_usd)
    workflows = workflows_with(settings.workflows.folder)
    calls = WorkflowCalls(engine, GuidedRuns(storage.workflows, stages, clock, engine))
    return (
        Think(calls, workflows["think"]),
        Debug(calls, workflows["debug"]),
        Review(calls, workflows["review"], Patches(stored.shelf, stored.reader)),
        Analyze(calls, workflows["analyze"]),
        Write(calls, workflows["write"], stored.shelf),
        PlanTool(consultant, Plans(storage.plans, clock)),
    )


def _file_services(files: ToolFiles, settings: Settings) -> FileServices:
    stored, address = files.stored, _address(settings.server)
    return FileServices(
        stored.shelf, stored.paths, stored.text, stored.tickets, files.remote, stored.secrets, address
    )


def _address(server: Server) -> str | None:
    """Return where clients reach the MCP port over HTTP, as far as the settings tell."""
    if server.public_url is not None:
        return str(server.public_url).rstrip("/")
    if server.port == 0:
        return None
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(server.host, server.host)  # noqa: S104 - what is bound
    return f"http://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{server.port}"


def _sources(files: ToolFiles, settings: Settings) -> FileSources:
    stored = files.stored
    reader = ProviderReader(
        remote=files.remote, extracts=stored.extracts, shelf=stored.shelf, secrets=stored.secrets
    )
    return FileSources(
        reader=stored.reader,
        paths=stored.paths,
        shelf=stored.shelf,
        snapshots=stored.snapshots,
        text=stored.text,
        secrets=stored.secrets,
        by_provider=None if settings.files.extract == "local_only" else reader,
        settings=settings.files,
    )
