"""What the calls cost that a group failed: of those in the journal, by the fingerprint that each has."""

from sqlalchemy import BigInteger, Subquery, cast, func, select

from exai.storage.error_tracking.schema import error_fingerprints
from exai.storage.schema import calls

__all__ = ["MICRO", "failed_costs"]

MICRO = 1_000_000
"""In a dollar: whole numbers of them are compared, as sums of fractions are not always equal."""


def failed_costs() -> Subquery:
    """Query by group what its failed calls cost, in millionths of a dollar; groups without any are left out."""
    known = error_fingerprints.c
    cost = cast(func.round(func.sum(calls.c.cost_usd) * MICRO), BigInteger).label("micro_usd")
    return (
        select(known.group_id, cost)
        .join(calls, calls.c.error_hash == known.hash)
        .where(calls.c.error_hash.is_not(None), calls.c.cost_usd > 0)
        .group_by(known.group_id)
        .subquery()
    )
