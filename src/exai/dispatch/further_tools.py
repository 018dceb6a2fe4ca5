"""Tools of a port that has others than the MCP port: listed by themselves, and run by the same dispatcher.

So a stop, permits, the journal and faults are one for both.
"""

from collections.abc import Mapping
from typing import Any

from exai import config
from exai.callers import Caller
from exai.config.calls.tools import Profile
from exai.dispatch.dispatcher import Dispatcher
from exai.dispatch.progress import SendProgress
from exai.tools.base import JsonObject, ToolAnswer
from exai.tools.listing.entries import ToolDescription
from exai.tools.listing.profiles import STANDARD, Profiles
from exai.tools.registry import Registry

__all__ = ["FurtherTools"]


class FurtherTools:
    """What a port needs of a dispatcher, for a registry of its own. All its callers are shown the same list."""

    def __init__(self, registry: Registry, dispatcher: Dispatcher) -> None:
        self._registry = registry
        self._dispatcher = dispatcher
        self.profiles = Profiles(config.Tools())

    @property
    def running(self) -> int:
        """Calls between their first line and their answer, of all tools."""
        return self._dispatcher.running

    def listing(self, _: Profile = STANDARD) -> tuple[ToolDescription, ...]:
        """List the tools."""
        return self._registry.listing

    def input_schema(self, name: str) -> JsonObject | None:
        """The schema of a tool's arguments; `None` for an unknown one."""
        return self._registry.input_schema(name)

    def stop_admitting(self) -> None:
        """From now on every new call is answered `stopping`, of whichever tool."""
        self._dispatcher.stop_admitting()

    def abort_running(self) -> None:
        """End every running call with a definite, retriable error."""
        self._dispatcher.abort_running()

    def check_scopes(self, name: str, arguments: Mapping[str, Any] | None, caller: Caller) -> None:
        """Refuse a call that its caller may not make.

        Raises:
            UnknownTool: nothing answers to `name`.
            ScopeMissing: the caller lacks a scope that this call needs.
        """
        self._dispatcher.check(self._registry.find(name, arguments), caller)

    async def call(
        self,
        name: str,
        arguments: Mapping[str, Any] | None,
        *,
        caller: Caller,
        send_progress: SendProgress | None = None,
        idempotency_key: str | None = None,
    ) -> ToolAnswer:
        """Run one tool, as the dispatcher runs its own.

        Raises:
            UnknownTool: nothing answers to `name`.
            ScopeMissing: the caller may not. Every other failure is an answer with `is_error`.
        """
        return await self._dispatcher.run(
            self._registry.find(name, arguments),
            caller=caller,
            send_progress=send_progress,
            idempotency_key=idempotency_key,
        )
