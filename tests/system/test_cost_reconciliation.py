"""What calls of every kind cost, reconciled with the emulated providers' own log: a share of `scripts/bench ledger`."""

import sqlite3
from contextlib import closing
from pathlib import Path

from benchmarks.mixed_calls import KINDS, MixedCalls, environment
from benchmarks.reconciliation import reconcile

from exai_emulator import EmulatorOptions, running
from support.daemons import daemon
from support.emulated import provider_environment
from support.waiting import wait_until

CALLS = 100
CALLERS = 25
CALL_S = 12.0


def unended(journal: Path) -> int:
    with closing(sqlite3.connect(journal)) as database:
        return int(database.execute("SELECT count(*) FROM calls WHERE outcome IS NULL").fetchone()[0])


async def test_every_request_is_booked_to_the_token_and_to_the_micro_dollar(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with running(EmulatorOptions(kimi_cache_writes=True)) as emulator:
        environ = {**environment(CALL_S), **provider_environment(emulator)}
        async with daemon(data_dir=folder, environ=environ) as exai:
            made = MixedCalls(emulator, seed=7, calls=CALLS, callers=CALLERS)
            await made.run(exai.mcp_ws)
            await wait_until(
                lambda: unended(folder / "exai.sqlite") == 0, what="the end of each call is written"
            )
            found = await reconcile(
                emulator.log.requests, made.callers, folder / "exai.sqlite", exai.operations
            )
    assert found.differences == {}, found.examples
    assert made.kinds.keys() == {kind.name for kind in KINDS}
    charged, booked = found.total(found.charged), found.total(found.booked)
    assert (found.calls, booked.sent) == (CALLS, charged.sent)
    assert booked.tokens == charged.tokens
    assert abs(booked.usd - charged.usd) < 1e-6
    assert booked.unreported == charged.unreported > 0
    assert booked.usd > 0
