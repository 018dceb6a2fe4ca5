"""The doors on real sockets."""

from collections.abc import AsyncIterator

import pytest

from open_doors import Doors, open_doors


@pytest.fixture
async def doors() -> AsyncIterator[Doors]:
    async with open_doors() as opened:
        yield opened
