"""What callers say of findings: the next review of the same repository knows it."""

from typing import get_args

from exai.errors import BadArguments
from exai.runtime.clock import Clock
from exai.storage.workflows.findings import FindingTables, Verdict, VerdictCount, VerdictName

__all__ = ["Verdicts"]


class Verdicts:
    """Takes verdicts, and counts them."""

    def __init__(self, tables: FindingTables, clock: Clock) -> None:
        self._tables = tables
        self._clock = clock

    async def judge(
        self, owner: str, finding_id: str | None, verdict: VerdictName | None, reason: str
    ) -> str:
        """Keep a verdict on the owner's finding, in the place of an earlier one; return what was kept, as a sentence.

        Raises:
            BadArguments: no finding of the owner, or no verdict, is named.
            StoreFailed: it was not kept.
        """
        finding = None if finding_id is None else await self._tables.find(owner, finding_id.strip())
        if finding is None:
            raise BadArguments(
                f"Argument 'id': you have no finding {(finding_id or '')[:80]!r}. Give the id of one that `review` "
                "showed you, as f_…."
            )
        if verdict is None:
            raise BadArguments(
                f"Argument 'verdict': say what became of {finding.finding_id}: {', '.join(get_args(VerdictName))}."
            )
        said = reason.strip()
        await self._tables.judge(
            Verdict(owner, finding.repository, finding.fingerprint, verdict, said, self._clock.utc())
        )
        kept = f"{finding.finding_id} ({finding.path}, {finding.category}) is {verdict}"
        return f"{kept}: {said}" if said else f"{kept}."

    async def counts(self, owner: str) -> tuple[VerdictCount, ...]:
        """Count the owner's findings by what became of them.

        Raises:
            StoreFailed: the database is out of reach.
        """
        return tuple(await self._tables.counts(owner))
