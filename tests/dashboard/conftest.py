"""Opens the operations port over a real database."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from exai import config
from exai.auth.authenticator import Authenticator
from exai.dashboard.readiness import Check
from exai.runtime.clock import ManualClock
from exai.storage.database import Database
from exai.storage.database_file import FILE_NAME
from exai.storage.identity.tables import IdentityTables
from support.migrated_databases import migrated_sqlite
from support.operations_ports import Port, make_port

OpenPort = Callable[..., Awaitable[Port]]


@pytest.fixture
async def open_port(tmp_path: Path) -> AsyncIterator[OpenPort]:
    """Opens a port under settings of `auth`, with these checks of readiness."""
    migrated_sqlite(tmp_path / FILE_NAME)
    async with AsyncExitStack() as scopes:

        async def opened(
            checks: dict[str, Check] | None = None, server: dict[str, Any] | None = None, **auth: Any
        ) -> Port:
            settings = config.Auth.model_validate({"mode": "required", **auth})
            clock = ManualClock()
            database = await Database.open(config.Database(), tmp_path)
            scopes.push_async_callback(database.close)
            authenticator = await Authenticator.open(settings, IdentityTables(database), clock)
            return make_port(
                database,
                tmp_path,
                authenticator,
                settings,
                clock,
                checks=checks or {},
                server=config.Server.model_validate(server or {}),
            )

        yield opened
