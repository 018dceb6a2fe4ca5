"""Other processes on the same database, for controls of what each process has of its own."""

from collections.abc import Sequence

from exai.errors import StoreFailed
from exai.storage.fleet.replicas import ReplicaRow, Replicas

__all__ = ["elsewhere"]

MOST_NAMED = 5


async def elsewhere(runs: Replicas, things: str) -> str:
    """Say that other processes have these of their own, and which processes; nothing where there is none."""
    try:
        others = await runs.others()
    except StoreFailed:
        return ""
    if not others:
        return ""
    return (
        f" Other processes on this database have {things} of their own, untouched by this: {_named(others)}."
    )


def _named(others: Sequence[ReplicaRow]) -> str:
    named = ", ".join(f"{run.run_id} on {run.host}" for run in others[:MOST_NAMED])
    more = len(others) - MOST_NAMED
    return f"{named} and {more} more" if more > 0 else named
