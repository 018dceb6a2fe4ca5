"""What the tests of identity ask for."""

from pathlib import Path

import pytest

from exai import config
from exai.auth.authenticator import Authenticator
from exai.auth.authority import Authority
from exai.runtime.clock import ManualClock
from exai.storage.database import Database
from exai.storage.identity.tables import IdentityTables
from support.gates import Gate, OpenGate


@pytest.fixture
def open_gate(database: Database, tmp_path: Path) -> OpenGate:
    """Opens gates on one database."""
    clock = ManualClock()

    async def made(**settings: object) -> Gate:
        auth = config.Auth.model_validate({"mode": "required", **settings})
        tables = IdentityTables(database)
        authenticator = await Authenticator.open(auth, tables, clock)
        return Gate(authenticator, Authority(auth, tables, tmp_path, clock), clock)

    return made
