"""The engine as MCP: one registry of handlers in the SDK's words, the same for every door and both revisions."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import lru_cache
from typing import Any, Protocol, get_args, runtime_checkable

import mcp_types as types
import msgspec
from mcp.server.caching import CacheHint
from mcp.server.context import CallNext, HandlerResult, ServerMiddleware, ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp.shared.exceptions import MCPError
from mcp.shared.jsonrpc_dispatcher import progress_token_from_params
from mcp_types import INTERNAL_ERROR, INVALID_PARAMS
from pydantic import ValidationError

from exai.callers import Caller
from exai.config.calls.tools import Profile
from exai.consulting.results import Confirmation
from exai.dispatch.progress import SendProgress
from exai.errors import ScopeMissing, UnknownTool
from exai.events.bus import EventBus
from exai.events.incidents import record_incident
from exai.protocol.idempotency_key import InvalidKey, key_in
from exai.protocol.jsonrpc import encodable
from exai.tools.base import JsonObject, ToolAnswer
from exai.tools.envelope import confirmation_of, declined
from exai.tools.listing.entries import ToolDescription
from exai.tools.listing.profiles import STANDARD, Profiles
from exai.transports.confirmation.asking import (
    Confirm,
    Decision,
    confirm_by,
    decided,
    input_required,
    key_once_allowed,
    with_allowed,
)
from exai.transports.confirmation.rising_progress import RisingProgress
from exai.transports.fault_data import fault_data

__all__ = [
    "CALLER_KEY",
    "INSTRUCTIONS",
    "Amend",
    "Calls",
    "Engine",
    "EngineServer",
    "Extend",
    "LongCalls",
    "Subscriptions",
    "answer_call",
    "build_server",
    "caller_of",
    "counted_lists",
    "idempotency_key_of",
    "incident_error",
    "named_caller",
    "progress_of",
    "scope_error",
]

CALLER_KEY = "exai.caller"
"""Where an HTTP door puts the caller into the request's scope."""

LIST_CACHE_MS = 3_600_000
"""The list changes with the daemon's version only; an hour bounds what a client may miss after an upgrade."""

INSTRUCTIONS = (
    "EXAI asks GLM and Kimi models. Use it for a second opinion, a review, the cause of a failure, a plan, a vote. "
    "`chat` answers with a continuation_id; pass it on to continue, from any client. `files` stores a file once; its "
    "handle goes wherever paths go. `status` with section models lists who can be asked."
)
"""What a client's model reads about this server beside its tools; in clients that load tools by search, beside their
names alone."""

UNINITIALIZED = (
    "This connection is not initialized. Send `initialize` first, "
    "or speak 2026-07-28 with its envelope in params._meta."
)


class Engine(Protocol):
    """What the ports need of the dispatcher."""

    @property
    def running(self) -> int:
        """Calls between their first line and their answer."""
        ...

    @property
    def profiles(self) -> Profiles:
        """Which list of tools a caller is shown."""
        ...

    def listing(self, profile: Profile = STANDARD) -> tuple[ToolDescription, ...]:
        """List the tools of a profile."""
        ...

    def input_schema(self, name: str) -> JsonObject | None:
        """Return the schema of a tool's arguments; `None` for an unknown one."""
        ...

    def check_scopes(self, name: str, arguments: Mapping[str, Any] | None, caller: Caller) -> None:
        """Refuse a call that its caller may not make.

        Raises:
            UnknownTool: nothing answers to `name`.
            ScopeMissing: the caller lacks a scope that this call needs.
        """
        ...

    async def call(
        self,
        name: str,
        arguments: Mapping[str, Any] | None,
        *,
        caller: Caller,
        send_progress: SendProgress | None = None,
        idempotency_key: str | None = None,
    ) -> ToolAnswer:
        """Run a tool, under an idempotency key once for all who ask. Cancelling the task cancels the work.

        Raises:
            UnknownTool: nothing answers to `name`.
            ScopeMissing: the caller may not; every other failure is an answer.
        """
        ...

    def stop_admitting(self) -> None:
        """Answer new calls with `stopping` from now on."""
        ...

    def abort_running(self) -> None:
        """End every running call with a definite, retriable error."""
        ...


Amend = Callable[[ToolAnswer, Caller], ToolAnswer]
"""Returns what a caller is answered instead."""


class Calls(msgspec.Struct, frozen=True):
    """What answers `tools/call`."""

    engine: Engine
    bus: EventBus
    amend: Amend | None


@runtime_checkable
class Subscriptions(Protocol):
    """Answers `subscriptions/listen`."""

    def close(self) -> None:
        """Give every subscription its result, by which its client knows that the end is intended."""
        ...


class LongCalls(Protocol):
    """Answers calls whose clients need not wait for their end."""

    def takes(self, context: ServerRequestContext[Any, Any]) -> bool:
        """Whether this request may be answered before its call has ended."""
        ...

    async def answer(
        self,
        calls: Calls,
        context: ServerRequestContext[Any, Any],
        params: types.CallToolRequestParams,
        key: str | None,
    ) -> JsonObject:
        """Return the call's result, or what has become of it so far; `key` is its idempotency key.

        Raises:
            MCPError: there is no such tool, or the caller may not.
        """
        ...


class EngineServer(Server[Any]):
    """The SDK's registry of handlers, with the engine behind its `tools/call`."""

    calls: Calls
    answers_plain_calls: bool
    """Whether a plain call may be answered by `calls` alone, past the registry."""
    long_calls: LongCalls | None = None
    """What answers calls whose clients say that they need not wait."""


Extend = Callable[[EngineServer], None]
"""Adds handlers to a server that is being built, or wraps those it has: the seam for a test profile.

A profile with tools of its own wraps `server.get_request_handler("tools/list")` and `"tools/call"`.
"""


def build_server(
    engine: Engine,
    *,
    name: str = "exai",
    version: str,
    instructions: str | None = INSTRUCTIONS,
    extend: Sequence[Extend] = (),
    amend: Amend | None = None,
    plain_calls: bool = True,
    bus: EventBus,
) -> EngineServer:
    """Build the SDK's registry over the engine. The lists of tools are read once, here."""
    calls = Calls(engine, bus, amend)
    listings = {profile: _listing(engine.listing(profile)) for profile in get_args(Profile)}

    async def list_tools(
        context: ServerRequestContext[Any, Any], params: types.PaginatedRequestParams | None
    ) -> HandlerResult:
        if params is not None and params.cursor is not None:
            raise MCPError(INVALID_PARAMS, "This list has one page: ask for it without a cursor.")
        return listings[engine.profiles.of(caller_of(context))]

    async def call_tool(
        context: ServerRequestContext[Any, Any], params: types.CallToolRequestParams
    ) -> HandlerResult:
        key, caller = idempotency_key_of(context), caller_of(context)
        if (said := decided(params)) is not None:
            state, decision = said
            if decision is Decision.DECLINED:
                return _declined(calls, params, caller, state)
            params = params.model_copy(update={"arguments": with_allowed(params.arguments, state)})
            key = key_once_allowed(key or state.nonce)
        if (long_calls := server.long_calls) is not None and long_calls.takes(context):
            return await long_calls.answer(calls, context, params, key)
        return await answer_call(
            calls,
            params.name,
            params.arguments,
            caller,
            progress=progress_of(context),
            key=key,
            confirm=confirm_by(context),
        )

    server = EngineServer(
        name,
        version=version,
        title="EXAI",
        instructions=instructions,
        cache_hints={
            "tools/list": CacheHint(LIST_CACHE_MS, "private" if engine.profiles.differ else "public"),
            "prompts/list": CacheHint(LIST_CACHE_MS, "public"),
            "resources/templates/list": CacheHint(LIST_CACHE_MS, "public"),
            "server/discover": CacheHint(LIST_CACHE_MS, "public"),
        },
        get_tool_input_schema=engine.input_schema,
        on_subscriptions_listen=ListenHandler(InMemorySubscriptionBus()),
    )
    server.add_request_handler("tools/list", types.PaginatedRequestParams, list_tools)
    server.add_request_handler("tools/call", types.CallToolRequestParams, call_tool)
    server.add_request_handler("logging/setLevel", types.SetLevelRequestParams, _set_level)
    # Instead of the SDK's tracing, which costs 7 to 14 µs per message without an exporter, and there is none.
    server.middleware[:] = [_explaining(bus)]
    for add in extend:
        add(server)
    server.calls = calls
    handler = server.get_request_handler("tools/call")
    server.answers_plain_calls = plain_calls and handler is not None and handler.handler is call_tool
    return server


def counted_lists(profiles: Profiles, note: Callable[[Caller, Profile], object]) -> Extend:
    """Tell `note` of each list of tools that is sent: to whom, and of which profile."""

    def wrap(server: EngineServer) -> None:
        entry = server.get_request_handler("tools/list")
        if entry is None:
            return

        async def list_tools(
            context: ServerRequestContext[Any, Any], params: types.PaginatedRequestParams | None
        ) -> HandlerResult:
            listed = await entry.handler(context, params)
            caller = caller_of(context)
            note(caller, profiles.of(caller))
            return listed

        server.add_request_handler("tools/list", types.PaginatedRequestParams, list_tools)

    return wrap


async def answer_call(
    calls: Calls,
    name: str,
    arguments: Mapping[str, Any] | None,
    caller: Caller,
    *,
    progress: SendProgress | None,
    key: str | None = None,
    confirm: Confirm | None = None,
    has_kind: bool = True,
) -> JsonObject:
    """Call a tool under an idempotency key, if there is one, and make the `CallToolResult`, in the form of 2026-07-28.

    Without its `resultType` (`has_kind`) it has the form of the revisions before.

    A call that needs a budget has its user asked by `confirm`, if there is one, and is made again where that allows it.

    Raises:
        MCPError: there is no such tool, or the caller may not; every other failure is a result.
    """
    if confirm is None:  # as almost every call is: without a coroutine between
        try:
            answer = await calls.engine.call(
                name, arguments, caller=caller, send_progress=progress, idempotency_key=key
            )
        except Exception as error:
            raise _rpc_error(calls, error) from error
        return _result(answer if calls.amend is None else calls.amend(answer, caller), has_kind=has_kind)
    rising = None if progress is None else RisingProgress(progress)
    progress = None if rising is None else rising.send
    answer = await _called(calls, name, arguments, caller, progress, key)
    if (needed := confirmation_of(answer)) is not None:
        confirmation, within_s = needed
        async with nullcontext() if rising is None else rising.waiting():
            decision = await confirm(confirmation, within_s)
        if decision is Decision.BY_RESULT:
            return encodable(input_required(confirmation))
        if decision is Decision.DECLINED:
            answer = declined(confirmation)
        elif decision is Decision.ALLOWED:
            allowed = with_allowed(arguments, confirmation)
            its_key = None if key is None else key_once_allowed(key)
            answer = await _called(calls, name, allowed, caller, progress, its_key)
    return _result(answer if calls.amend is None else calls.amend(answer, caller), has_kind=has_kind)


async def _called(
    calls: Calls,
    name: str,
    arguments: Mapping[str, Any] | None,
    caller: Caller,
    progress: SendProgress | None,
    key: str | None,
) -> ToolAnswer:
    try:
        return await calls.engine.call(
            name, arguments, caller=caller, send_progress=progress, idempotency_key=key
        )
    except Exception as error:
        raise _rpc_error(calls, error) from error


def _declined(
    calls: Calls, params: types.CallToolRequestParams, caller: Caller, confirmation: Confirmation
) -> JsonObject:
    """Make the result of a call that was made again because its user did not allow it."""
    try:
        calls.engine.check_scopes(params.name, params.arguments, caller)
    except Exception as error:
        raise _rpc_error(calls, error) from error
    answer = declined(confirmation)
    return _result(answer if calls.amend is None else calls.amend(answer, caller))


def _rpc_error(calls: Calls, error: Exception) -> MCPError:
    """Make the JSON-RPC error of what is no answer of a tool."""
    if isinstance(error, UnknownTool):
        return MCPError(error.rpc_code, str(error), fault_data(error))
    if isinstance(error, ScopeMissing):
        return scope_error(error)
    return incident_error(error, where="tools/call", bus=calls.bus)


def scope_error(fault: ScopeMissing) -> MCPError:
    """Make the JSON-RPC error for a caller who may not."""
    return MCPError(fault.rpc_code, str(fault), fault_data(fault))


def incident_error(error: Exception, *, where: str, bus: EventBus) -> MCPError:
    """Record an incident, and make the JSON-RPC error that gives its id and nothing else away."""
    incident = record_incident(error, where=where, publish=bus.publish)
    return MCPError(INTERNAL_ERROR, incident.sentence, {"incident_id": incident.id, "retryable": False})


def _explaining(bus: EventBus) -> ServerMiddleware[Any]:
    """Make the middleware that gives every error a sentence that says what to do, and nothing internal."""

    async def explain(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        try:
            return await call_next(ctx)
        except ValidationError as error:
            raise MCPError(INVALID_PARAMS, _invalid_params(ctx.method, error)) from None
        except MCPError as error:
            if _refused_before_handshake(error, ctx):
                raise MCPError(INVALID_PARAMS, UNINITIALIZED) from None
            raise
        except Exception as error:
            raise incident_error(error, where=ctx.method, bus=bus) from error

    return explain


def _refused_before_handshake(error: MCPError, context: ServerRequestContext[Any, Any]) -> bool:
    """Check for the kernel's own refusal: "Invalid request parameters" with an empty `data`, which no handler sends."""
    return error.code == INVALID_PARAMS and error.data == "" and context.session.client_params is None


def _invalid_params(method: str, error: ValidationError) -> str:
    """Say which parameter is wrong and why, without the value that was sent."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(step) for step in first["loc"] if step != "params")[:120]
    return f"The params of {method[:80]} are invalid: {place or 'params'}: {first['msg'][:200]}."


async def _set_level(_: ServerRequestContext[Any, Any], __: types.SetLevelRequestParams) -> types.EmptyResult:
    """Accept the level, as the logging capability asks; EXAI's own log goes to its operator and never to a client."""
    return types.EmptyResult()


def _listing(tools: Sequence[ToolDescription]) -> dict[str, Any]:
    """Return the result of `tools/list`."""
    listed = types.ListToolsResult(tools=[_described(tool) for tool in tools])
    return listed.model_dump(by_alias=True, mode="json", exclude_none=True, exclude={"ttl_ms", "cache_scope"})


def _described(tool: ToolDescription) -> types.Tool:
    return types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.input_schema,
        output_schema=tool.output_schema,
        annotations=types.ToolAnnotations.model_validate(tool.annotations),
        _meta=tool.meta,
    )


def _result(answer: ToolAnswer, *, has_kind: bool = True) -> JsonObject:
    """Make a `CallToolResult` in its wire form; the kernel checks it against the revision's schema."""
    result: JsonObject = {"resultType": "complete"} if has_kind else {}
    result |= {
        "content": [*(answer.blocks or ({"type": "text", "text": answer.text},)), *answer.links],
        "isError": answer.is_error,
    }
    if answer.structured is not None:
        result["structuredContent"] = answer.structured
    if answer.meta is not None:
        result["_meta"] = answer.meta
    return encodable(result)


def caller_of(context: ServerRequestContext[Any, Any]) -> Caller:
    """Return the caller that the port attached to the message, with the name that the client gives itself."""
    request: Any = context.request
    caller: Caller = request if isinstance(request, Caller) else request.scope[CALLER_KEY]
    params = context.session.client_params
    if params is None:
        return caller
    return named_caller(caller, params.client_info.name, params.client_info.version)


@lru_cache(maxsize=256)
def named_caller(caller: Caller, name: str, version: str) -> Caller:
    """Return the caller with the name and version that its client gives itself."""
    words = f"{name[:100]} {version[:50]}"
    return replace(caller, client="".join(filter(str.isprintable, words)))


def idempotency_key_of(context: ServerRequestContext[Any, Any]) -> str | None:
    """Return the request's idempotency key, if it has one.

    Raises:
        MCPError: it is malformed.
    """
    try:
        return key_in(context.params)
    except InvalidKey as error:
        raise MCPError(INVALID_PARAMS, str(error)) from None


def progress_of(context: ServerRequestContext[Any, Any]) -> SendProgress | None:
    """Make what sends this request's progress, if its sender asked for any."""
    token = progress_token_from_params(context.params)
    if token is None:
        return None

    async def send(number: float, message: str, meta: dict[str, Any]) -> None:
        await context.session.send_notification(
            types.ProgressNotification(
                params=types.ProgressNotificationParams(
                    progress_token=token, progress=number, message=encodable(message), _meta=meta
                )
            ),
            related_request_id=context.request_id,
        )

    return send
