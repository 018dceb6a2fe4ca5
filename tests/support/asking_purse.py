"""A process that asks a purse as often as it is told, many requests at once, and prints how often it was granted."""

import asyncio
import sys
from pathlib import Path

from exai import config
from exai.runtime.clock import SystemClock
from exai.storage.calls.budgets import BudgetGrants, Limit, Wanted
from exai.storage.database import Database

LIMITS = (Limit(3_600.0, requests=30),)


async def _ask(url: str, data_dir: Path, times: int) -> int:
    database = await Database.open(config.Database.model_validate({"url": url or None}), data_dir)
    grants = BudgetGrants(database, SystemClock())
    try:
        asked = (grants.grant(Wanted("auditor", f"call_{number}", 0.01, LIMITS)) for number in range(times))
        return sum(refusal is None for refusal in await asyncio.gather(*asked))
    finally:
        await database.close()


if __name__ == "__main__":
    sys.stdout.write(str(asyncio.run(_ask(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))))
