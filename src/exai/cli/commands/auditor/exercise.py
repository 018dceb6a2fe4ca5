"""`exai auditor exercise`: sends events that did not happen, and compares what is observed with what was planted."""

import asyncio
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from exai.cli.columns import table
from exai.cli.command_group import new_app
from exai.cli.data_choice import choose_data
from exai.cli.options import AsJson, ConfigFile, Overrides, WhichData
from exai.client.connection import Answer, CallFailed, Session, connect
from exai.errors import StartFault
from exai.monitoring.auditor.exercise import Expected, Phase, Planted, expected_of, plan
from exai.storage.auditor.observations import EXERCISE

__all__ = ["app"]

TOOL = "auditor"
PATIENCE_S = 5.0
HOUR_S = 3_600.0
"""An exercise begins with the next hour, by its own clock: then all are alike."""
MOST_OBSERVATIONS = 100
MOST_AT_ONCE = 32
"""Events that are on their way: a connection takes so many calls and no more."""
USUAL: dict[int, tuple[float, float]] = {1: (20, 20), 2: (30, 60), 3: (30, 180)}
"""Calls a minute, and minutes, by phase."""
RATE_WITHIN = 0.005

app = new_app()


class Outcome(msgspec.Struct, frozen=True):
    """What an exercise showed."""

    phase: int
    sent: int
    delivered: int
    """Answered by the daemon."""
    folded: int
    """By the auditor, as it counts."""
    dropped: int
    model_requests: int
    """Granted to the auditor in the last hour."""
    rate_per_min: float
    """By the clock of the exercise."""
    expected: Sequence[Expected]
    observed: Sequence[Expected]
    passed: bool


@app.command("exercise")
def exercise(
    phase: Annotated[
        int,
        typer.Option(
            "--phase", min=1, max=3, help="1: steady calls. 2: with anomalies. 3: with anomalies and bursts."
        ),
    ],
    rate: Annotated[float | None, typer.Option("--rate", min=0.1, max=6_000, help="Calls a minute.")] = None,
    minutes: Annotated[float | None, typer.Option("--minutes", min=0.1, max=1_440, help="How long.")] = None,
    speed: Annotated[
        float, typer.Option("--speed", min=1, max=10_000, help="How much faster the exercise's clock runs.")
    ] = 1.0,
    credentials: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What `exai token create --save FILE` wrote.")
    ] = None,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """Send events that did not happen to the running daemon, and see what it observes of them.

    They are kept apart from what happens. Exit code 1 where what is observed is not what was planted.
    """
    chosen = choose_data(config_file, overrides, demo)
    if chosen.address is None:
        raise StartFault(f"No EXAI runs on {chosen.settings.data_dir}. {chosen.how_to_start}")
    usual_rate, usual_minutes = USUAL[phase]
    drill = _Drill(_phase(phase), rate or usual_rate, minutes or usual_minutes, speed)
    try:
        outcome = asyncio.run(drill.run(chosen.address, credentials))
    except CallFailed as fault:
        raise StartFault(str(fault)) from None
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(outcome)).decode())
    else:
        typer.echo(_report(outcome))
    if not outcome.passed:
        raise typer.Exit(1)


def _phase(number: int) -> Phase:
    return 1 if number == 1 else 2 if number == 2 else 3


class _Drill:
    """One exercise."""

    def __init__(self, phase: Phase, rate: float, minutes: float, speed: float) -> None:
        self._phase = phase
        self._minutes = minutes
        self._speed = speed
        self._plan = list(plan(phase, rate, minutes))
        self._name = f"phase{phase}_{secrets.token_hex(4)}"
        self._delivered = 0
        self._room = asyncio.Semaphore(MOST_AT_ONCE)

    async def run(self, address: str, credentials: Path | None) -> Outcome:
        """Send everything at its moment, and end the exercise."""
        async with connect(address, credentials=credentials, patience_s=PATIENCE_S) as session:
            start = await self._told(session, {"exercise": self._name})
            began, base = time.monotonic(), (time.time() // HOUR_S + 1) * HOUR_S
            async with asyncio.TaskGroup() as sending:
                for planted in self._plan:
                    await asyncio.sleep(began + planted.at / self._speed - time.monotonic())
                    await self._room.acquire()
                    moved = msgspec.structs.replace(planted, at=base + planted.at)
                    sending.create_task(self._send(session, moved))
                await asyncio.sleep(began + self._minutes * 60 / self._speed - time.monotonic())
            took_s = (time.monotonic() - began) * self._speed
            ended = await self._told(
                session, {"exercise": self._name, "end": True, "most": MOST_OBSERVATIONS}
            )
        return self._outcome(start, ended, took_s)

    async def _send(self, session: Session, planted: Planted) -> None:
        try:
            await self._told(session, {"exercise": self._name, "planted": [msgspec.to_builtins(planted)]})
        finally:
            self._room.release()
        self._delivered += 1

    async def _told(self, session: Session, arguments: dict[str, Any]) -> dict[str, Any]:
        answer: Answer = await session.call(TOOL, arguments)
        if answer.is_error or answer.structured is None:
            raise StartFault(answer.text)
        return answer.structured

    def _outcome(self, start: dict[str, Any], ended: dict[str, Any], took_s: float) -> Outcome:
        prefix = f"{EXERCISE}{self._name}/"
        observed = sorted(
            Expected(each["detector"], each["subject"].removeprefix(prefix), each["severity"])
            for each in ended["observations"]
        )
        expected = expected_of(self._phase, self._minutes)
        sent, dropped = len(self._plan), ended["dropped"] - start["dropped"]
        calls = sum(planted.kind == "call" for planted in self._plan)
        rate = calls / took_s * 60
        steady = self._phase == 3 or abs(rate * self._minutes / calls - 1) <= RATE_WITHIN
        return Outcome(
            phase=self._phase,
            sent=sent,
            delivered=self._delivered,
            folded=ended["folded"],
            dropped=dropped,
            model_requests=ended["model_requests"],
            rate_per_min=round(rate, 3),
            expected=expected,
            observed=observed,
            passed=(
                self._delivered == ended["folded"] == sent and not dropped and observed == expected and steady
            ),
        )


def _report(outcome: Outcome) -> str:
    rows = [
        ("sent", str(outcome.sent)),
        ("delivered", str(outcome.delivered)),
        ("folded", str(outcome.folded)),
        ("dropped", str(outcome.dropped)),
        ("requests to a model", f"{outcome.model_requests} in the last hour"),
        ("calls a minute", f"{outcome.rate_per_min:g}"),
    ]
    lines = [table(rows)]
    missing = [each for each in outcome.expected if each not in outcome.observed]
    for each in outcome.observed:
        mark = "as planted" if each in outcome.expected else "NOT PLANTED"
        lines.append(f"{each.severity} {each.detector} of {each.subject}: {mark}")
    lines.extend(f"{each.severity} {each.detector} of {each.subject}: NOT OBSERVED" for each in missing)
    lines.append("passed" if outcome.passed else "FAILED")
    return "\n".join(lines)
