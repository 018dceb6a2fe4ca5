"""A dispatcher and what it stands on, as one process has them, before a scripted provider."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any

from exai import config
from exai.auth.scopes import MODELS
from exai.callers import Caller, Door
from exai.consulting.context import CallContext
from exai.consulting.results import Result, ToolReturn
from exai.dispatch.dispatcher import Dispatcher
from exai.dispatch.idempotent_calls import IdempotentCalls
from exai.dispatch.long_answers import LongAnswers
from exai.dispatch.oversight import Oversight
from exai.dispatch.progress import SendProgress
from exai.dispatch.purses import Purse
from exai.error_tracking.noticing import FaultNotices
from exai.events.bus import EventBus
from exai.events.events import Event
from exai.messages import Message, Role
from exai.providers.base import Prompt
from exai.runtime.clock import Clock, SystemClock
from exai.storage.calls.idempotent_calls import IdempotentCallTable
from exai.storage.calls.journal import Journal
from exai.storage.database import Database
from exai.tools.base import Arguments, Requested, Tool, ToolAnswer
from exai.tools.listing.profiles import Profiles
from exai.tools.registry import Registry
from support.scripted import MODEL, ScriptedProvider, ScriptedRouter, asking

__all__ = ["CALLER", "Run", "Said", "Services", "Words", "ask", "error_facts"]

CALLER = Caller.local(Door.WEBSOCKET)


class Words(Arguments, frozen=True):
    """What the two tools take."""

    word: str = "hello"
    model: str | None = None

    def requested(self) -> Requested:
        return Requested(model=self.model)


class Said(Result, frozen=True):
    """What the two tools return."""

    said: str

    def text(self) -> str:
        return self.said


Run = Callable[[Words, CallContext], Awaitable[ToolReturn[Said]]]


async def ask(arguments: Words, context: CallContext) -> ToolReturn[Said]:
    """Ask the provider for the word, and stream its answer."""
    prompt = Prompt(model=MODEL, messages=(Message(Role.USER, arguments.word),))
    completion = await context.ask(prompt, context.progress.deltas_of(MODEL.name))
    return ToolReturn(Said(said=completion.text))


async def tell(arguments: Words, context: CallContext) -> ToolReturn[Said]:
    """Return the word without asking anybody."""
    return ToolReturn(Said(said=arguments.word))


class Services:
    """Several may share a database, as processes do. Every event is kept.

    `run` takes the place of the tool that asks the provider.
    """

    def __init__(
        self,
        database: Database,
        provider: ScriptedProvider,
        run: Run = ask,
        *,
        clock: Clock | None = None,
        admission: config.Admission | None = None,
        retry: config.Retry | None = None,
        idempotency: config.Idempotency | None = None,
        idempotent_call_table: IdempotentCallTable | None = None,
        call_timeout_s: float = 20.0,
        resumes: bool = False,
        guards: config.Guards | None = None,
        purses: Mapping[str, Purse] = MappingProxyType({}),
    ) -> None:
        self.database = database
        self.provider = provider
        self.events: list[Event] = []
        bus = EventBus()
        bus.watch(self.events.append, Event)
        clock = self.clock = clock or SystemClock()
        ask_with = asking(ScriptedRouter(provider), bus=bus, clock=clock, limits=admission, retry=retry)
        self.admission = ask_with.admission
        self.idempotent_calls = IdempotentCalls(
            idempotent_call_table or IdempotentCallTable(database, clock),
            idempotency or config.Idempotency(),
            clock=clock,
            publish=bus.publish,
        )
        self.oversight = Oversight.on(
            database, guards or config.Guards(), clock, FaultNotices(bus.publish, clock), purses
        )
        self.dispatcher = Dispatcher(
            registry=Registry([_tool("ask", run, resumes=resumes), _tool("tell", tell)]),
            profiles=Profiles(config.Tools()),
            asking=ask_with,
            journal=Journal(database, clock),
            oversight=self.oversight,
            long_answers=LongAnswers(None),
            idempotent_calls=self.idempotent_calls,
            call_timeout_s=call_timeout_s,
        )

    async def call(
        self,
        name: str = "ask",
        *,
        key: str | None = None,
        caller: Caller = CALLER,
        send_progress: SendProgress | None = None,
        **arguments: Any,
    ) -> ToolAnswer:
        return await self.dispatcher.call(
            name, arguments, caller=caller, send_progress=send_progress, idempotency_key=key
        )

    def start(self, name: str = "ask", **more: Any) -> asyncio.Task[ToolAnswer]:
        """Begin a call and leave it running."""
        return asyncio.get_running_loop().create_task(self.call(name, **more))

    def events_of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if type(event) is kind]


def _tool(name: str, run: Run, *, resumes: bool = False) -> Tool[Words, Said]:
    return Tool(
        name=name,
        title=name,
        description=name,
        arguments=Words,
        run=run,
        result=Said,
        asks_provider=name == "ask",
        scope=MODELS,
        resumes=resumes,
    )


def error_facts(answer: ToolAnswer) -> dict[str, Any]:
    """What an answer that is an error says to programs."""
    assert answer.is_error
    assert answer.structured is None
    assert answer.meta is not None
    return dict(answer.meta["exai/error"])
