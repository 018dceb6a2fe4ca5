"""EXAI with the fixtures of the conformance suite beside its own tools: a program, as `exai serve --demo` is one.

`python -m conformance.suite_server DATA_DIR` prints its addresses as one line of JSON once it serves.
"""

import asyncio
import dataclasses
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import mcp_types as types
from mcp.server.context import HandlerResult
from mcp.server.lowlevel import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.subscriptions import ListenHandler
from starlette.responses import PlainTextResponse

from conformance.suite_data import PROMPTS, RESOURCES, TEMPLATES, complete, get_prompt, read_resource
from conformance.suite_registry import Context, Tool
from conformance.suite_rounds import ROUNDS
from conformance.suite_tasks import task_tools
from conformance.suite_tools import BUS, TOOLS
from exai.app.demo import emulated_providers
from exai.app.duties import mcp_port_duties
from exai.app.services import build
from exai.config import Settings
from exai.monitoring import logs
from exai.runtime.version import __version__
from exai.transports.doors import McpDoors
from exai.transports.listener import Listener
from exai.transports.server import build_server
from exai.transports.tasks.extension import TaskExtension


def with_fixtures(server: Server[Any], tasks: TaskExtension) -> None:
    """What the suite's scenarios ask for, beside what the server has."""
    _add_tools(server, {**TOOLS.by_name, **ROUNDS.by_name, **task_tools(tasks)})
    _add_resources(server)
    _add_prompts(server)
    server.add_request_handler(
        "subscriptions/listen", types.SubscriptionsListenRequestParams, ListenHandler(BUS)
    )
    security = RequestStateSecurity.ephemeral()
    server.middleware.append(RequestStateBoundary(security, default_audience=server.name))


def _add_tools(server: Server[Any], tools: dict[str, Tool]) -> None:
    listing, calling = (server.get_request_handler(method) for method in ("tools/list", "tools/call"))
    assert listing is not None
    assert calling is not None
    described = [
        tool.description.model_dump(by_alias=True, mode="json", exclude_none=True) for tool in tools.values()
    ]

    async def list_tools(context: Context, params: types.PaginatedRequestParams) -> HandlerResult:
        own = await listing.handler(context, params)
        assert isinstance(own, dict)
        return {**own, "tools": [*own["tools"], *described]}

    async def call_tool(context: Context, params: types.CallToolRequestParams) -> HandlerResult:
        tool = tools.get(params.name)
        answer: HandlerResult
        if tool is None:
            answer = await calling.handler(context, params)
        else:
            answer = await tool.run(context, params)
        return answer

    own_schema = server.get_tool_input_schema
    assert own_schema is not None
    server.get_tool_input_schema = lambda name: (
        tools[name].description.input_schema if name in tools else own_schema(name)
    )
    server.add_request_handler("tools/list", types.PaginatedRequestParams, list_tools)
    server.add_request_handler("tools/call", types.CallToolRequestParams, call_tool)


def _add_resources(server: Server[Any]) -> None:
    watched: set[str] = set()

    async def list_resources(_: Context, __: types.PaginatedRequestParams) -> HandlerResult:
        return types.ListResourcesResult(resources=RESOURCES)

    async def list_templates(_: Context, __: types.PaginatedRequestParams) -> HandlerResult:
        return types.ListResourceTemplatesResult(resource_templates=TEMPLATES)

    async def read(_: Context, params: types.ReadResourceRequestParams) -> HandlerResult:
        return read_resource(str(params.uri))

    async def subscribe(_: Context, params: types.SubscribeRequestParams) -> HandlerResult:
        watched.add(str(params.uri))
        return types.EmptyResult()

    async def unsubscribe(_: Context, params: types.UnsubscribeRequestParams) -> HandlerResult:
        watched.discard(str(params.uri))
        return types.EmptyResult()

    server.add_request_handler("resources/list", types.PaginatedRequestParams, list_resources)
    server.add_request_handler("resources/templates/list", types.PaginatedRequestParams, list_templates)
    server.add_request_handler("resources/read", types.ReadResourceRequestParams, read)
    server.add_request_handler("resources/subscribe", types.SubscribeRequestParams, subscribe)
    server.add_request_handler("resources/unsubscribe", types.UnsubscribeRequestParams, unsubscribe)


def _add_prompts(server: Server[Any]) -> None:
    async def list_prompts(_: Context, __: types.PaginatedRequestParams) -> HandlerResult:
        return types.ListPromptsResult(prompts=PROMPTS)

    async def get(_: Context, params: types.GetPromptRequestParams) -> HandlerResult:
        return get_prompt(params)

    async def suggest(_: Context, __: types.CompleteRequestParams) -> HandlerResult:
        return complete()

    server.add_request_handler("prompts/list", types.PaginatedRequestParams, list_prompts)
    server.add_request_handler("prompts/get", types.GetPromptRequestParams, get)
    server.add_request_handler("completion/complete", types.CompleteRequestParams, suggest)


async def _serve(data_dir: Path) -> None:
    settings = Settings.model_validate(
        {"data_dir": data_dir, "server": {"port": 0, "operations_port": 0, "errors_port": 0, "drain_s": 5}}
    )
    logs.configure(settings.logging)
    listener = Listener(settings.server)
    async with (
        emulated_providers(settings) as demonstration,
        build(demonstration, version=__version__, demo=True) as services,
    ):
        bus = services.monitoring.bus
        tasks = TaskExtension(services.storage.tasks, settings, services.clock, bus)
        server = build_server(
            services.dispatcher,
            version=__version__,
            extend=[partial(with_fixtures, tasks=tasks), tasks.add_to],
            bus=bus,
        )
        doors = McpDoors(
            server,
            services.dispatcher,
            services.identity.authenticator,
            services.identity.authority,
            settings,
            services.monitoring.bus,
        )
        async with services.scheduler.running(*mcp_port_duties(doors)):
            await listener.serve(
                doors,
                PlainTextResponse("operations"),
                PlainTextResponse("reports"),
                services.dispatcher,
                settings.websocket,
                on_ready=lambda: print(json.dumps(dataclasses.asdict(listener.addresses)), flush=True),
                on_stop=lambda: None,
            )


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
