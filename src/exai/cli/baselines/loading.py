"""Sends a scenario through the MCP port at a steady rate."""

import random
import secrets
from collections.abc import Sequence
from pathlib import Path

from exai.cli.baselines.open_loop import Punctuality, arrivals, send_at
from exai.cli.baselines.scenario import Ask, Scenario
from exai.client.connection import CallFailed, Session, connect

__all__ = ["Loading"]

PATIENCE_S = 5.0


class Loading:
    """Calls of a scenario, at moments that are drawn before the first is sent."""

    def __init__(self, scenario: Scenario, rate_per_s: float, lasts_s: float, seed: int) -> None:
        dice = random.Random(seed)  # noqa: S311 - when to ask what is no secret
        self.moments = arrivals(rate_per_s, lasts_s, dice.expovariate)
        """In seconds from the begin."""
        weights = [ask.weight for ask in scenario.ask]
        self._asks = dice.choices(scenario.ask, weights, k=len(self.moments))
        self._nonce = secrets.token_hex(4)
        self.punctuality = Punctuality()
        self.answered = self.failed = self.unreachable = 0

    async def send(
        self, address: str, credentials: Path | None, places: Sequence[int], begin_s: float
    ) -> None:
        """Send some of them; `begin_s` is the moment that is now."""
        async with connect(address, credentials=credentials, patience_s=PATIENCE_S) as session:
            moments = [self.moments[place] - begin_s for place in places]
            await send_at(
                moments,
                lambda at, _: self._ask(session, places[at], self._asks[places[at]]),
                self.punctuality,
            )

    async def _ask(self, session: Session, place: int, ask: Ask) -> None:
        arguments = dict(ask.arguments)
        if isinstance(prompt := arguments.get("prompt"), str):
            arguments["prompt"] = f"[{self._nonce}-{place}] {prompt}"
        try:
            answer = await session.call(ask.tool, arguments)
        except CallFailed:
            self.unreachable += 1
        else:
            self.answered += not answer.is_error
            self.failed += answer.is_error

    async def send_all(self, address: str, credentials: Path | None) -> None:
        """Send all of them, and stay until the last moment."""
        await self.send(address, credentials, range(len(self.moments)), 0.0)

    @property
    def summary(self) -> str:
        """Say what became of them."""
        sent, planned = self.punctuality.sent, len(self.moments)
        said = [f"{sent} of {planned} calls sent: {self.answered} answered, {self.failed} failed"]
        if self.unreachable:
            said.append(
                f", {self.unreachable} reached no daemon. EXAI went away: start it again; what was answered is kept, "
                "and the report shows the gap"
            )
        reason = self.punctuality.reason_against
        return f"{''.join(said)}." if reason is None else f"{''.join(said)}. {reason}"
