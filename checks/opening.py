"""Writes what `exai stdio` answers before its engine stands: `python -m checks.opening`.

Run it after a change of a tool's name, description, arguments or results.
"""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

from exai import config
from exai.callers import Caller, Door
from exai.dispatch.dispatcher import Dispatcher
from exai.dispatch.long_answers import LongAnswers
from exai.dispatch.oversight import Oversight
from exai.events.bus import EventBus
from exai.tools.challenge import Challenge
from exai.tools.chat import Chat
from exai.tools.conversations.conversations import ConversationsTool
from exai.tools.files import Files
from exai.tools.listing.profiles import Profiles
from exai.tools.models import Models
from exai.tools.older.echo import Echo
from exai.tools.registry import Registry
from exai.tools.search import Search
from exai.tools.status import Status
from exai.tools.voting.consensus import ConsensusTool
from exai.tools.workflows.analyze import Analyze
from exai.tools.workflows.debug import Debug
from exai.tools.workflows.plan import PlanTool
from exai.tools.workflows.review import Review
from exai.tools.workflows.think import Think
from exai.tools.writing.write import Write
from exai.transports.files.changes import FileChanges
from exai.transports.opening import RECORDING
from exai.transports.prompts.prompts import Prompts
from exai.transports.pump import Pump
from exai.transports.resources.handlers import Resources
from exai.transports.server import build_server
from exai.transports.tasks.extension import TaskExtension
from exai.transports.traffic import Traffic
from exai.workflows.definitions import bundled_workflows

__all__ = ["recorded", "rendered", "unserved_registry"]


def unserved_registry() -> Registry:
    """Register the tools with nothing behind them, for what depends on their descriptions alone."""
    absent: Any = None
    tools = (
        Chat(absent),
        Think(absent, bundled_workflows()["think"]),
        Debug(absent, bundled_workflows()["debug"]),
        Review(absent, bundled_workflows()["review"], absent),
        PlanTool(absent, absent),
        Analyze(absent, bundled_workflows()["analyze"]),
        Write(absent, bundled_workflows()["write"], absent),
        ConsensusTool(absent),
        Challenge(absent),
        Search(absent),
        Files(absent),
        Models(absent),
        Status(absent, absent, absent),
        Echo(),
        ConversationsTool(absent, absent, absent),
    )
    return Registry([each.tool() for each in tools])


async def recorded() -> dict[str, Any]:
    """Ask the tools' own server, without anything behind it, what it answers."""
    absent: Any = None
    asking: Any = SimpleNamespace(admission=absent, bus=EventBus(), clock=absent)
    engine = Dispatcher(
        registry=unserved_registry(),
        profiles=Profiles(config.Tools()),
        asking=asking,
        journal=absent,
        oversight=Oversight(absent, absent, absent, absent, absent),
        long_answers=LongAnswers(None),
        idempotent_calls=absent,
        call_timeout_s=1.0,
    )
    resources = Resources((), FileChanges(asking.bus).listen)
    prompts = Prompts(engine.listing(), absent, absent, resources)
    tasks = TaskExtension(absent, config.Settings(), absent, asking.bus)
    sent: asyncio.Queue[str] = asyncio.Queue()
    pump = Pump(
        build_server(
            engine, version="", bus=asking.bus, extend=[resources.add_to, prompts.add_to, tasks.add_to]
        ),
        caller=Caller.local(Door.STDIO),
        send=sent.put,
        limits=config.WebSocket(),
        traffic=Traffic(),
        bus=asking.bus,
    )
    hello = {
        "protocolVersion": HANDSHAKE_PROTOCOL_VERSIONS[-1],
        "capabilities": {},
        "clientInfo": {"name": "recorder", "version": "1"},
    }
    for message in (
        {"id": 0, "method": "initialize", "params": hello},
        {"method": "notifications/initialized"},
        {"id": 1, "method": "tools/list"},
    ):
        await pump.receive(json.dumps({"jsonrpc": "2.0", **message}))
    initialize, listing = [json.loads(await sent.get())["result"] for _ in range(2)]
    await pump.close()
    return {"revisions": HANDSHAKE_PROTOCOL_VERSIONS, "initialize": initialize, "tools/list": listing}


def rendered(recording: dict[str, Any]) -> str:
    """Return the file's text: a line for each value, so that changes of different tools merge."""
    return json.dumps(recording, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    RECORDING.write_text(rendered(asyncio.run(recorded())), encoding="utf-8")
