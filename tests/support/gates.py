"""An authenticator and an authority on one database, as two processes have them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from exai.auth.authenticator import Authenticator
from exai.auth.authority import Authority
from exai.callers import Caller, Door
from exai.errors import Unauthenticated
from exai.runtime.clock import ManualClock

__all__ = ["Gate", "OpenGate"]


@dataclass
class Gate:
    """What a door stands on; the authority does not tell the authenticator what it changed."""

    authenticator: Authenticator
    authority: Authority
    clock: ManualClock
    address: str = "127.0.0.1"

    async def admit(self, token: str | None) -> Caller:
        """The caller behind a token, or without one."""
        headers = [] if token is None else [(b"authorization", f"Bearer {token}".encode())]
        return await self.authenticator.authenticate(headers, door=Door.HTTP, address=self.address)

    async def refuses(self, token: str) -> None:
        """A token is not believed."""
        with pytest.raises(Unauthenticated) as refusal:
            await self.admit(token)
        assert refusal.value.presented


OpenGate = Callable[..., Awaitable[Gate]]
"""Opens a gate with settings of `[auth]`; `required` where they do not say."""
