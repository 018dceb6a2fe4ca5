"""One investigation: evidence, at most four requests, and a report of which everything was checked that can be.

    bundle → claim, or further items ─→ claim → citations looked up ─→ second opinion → patch checked → level → report
                                                 └─ some are false: once anew ─┘

No answer leads to more than the next request of this list, so nothing can loop. A request counts before it is sent.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import msgspec

from exai.error_tracking.investigation.answers import Claim, FirstAnswer, OpinionAnswer
from exai.error_tracking.investigation.asking import ModelAsking, Reply
from exai.error_tracking.investigation.bundle import (
    EvidenceBundle,
    EvidenceGatherer,
    EvidencePiece,
    Subject,
)
from exai.error_tracking.investigation.citations import CheckedStep, check_citations, check_step
from exai.error_tracking.investigation.levels import level_of
from exai.error_tracking.investigation.patches import PatchChecker, problems_of_size
from exai.error_tracking.investigation.prompting import opinion_prompt, report_prompt
from exai.error_tracking.investigation.report import (
    AskedModel,
    CheckedFix,
    InvestigationReport,
    Opinion,
    PatchCheck,
    Role,
    ShownFile,
)
from exai.error_tracking.investigation.roles import Candidate, Nobody, Roles, choose_roles
from exai.protocol.answer_objects import UnreadableAnswerError, read_answer
from exai.runtime.clock import Clock

__all__ = [
    "HARD_S",
    "MOST_REQUESTS",
    "Failed",
    "Investigator",
    "Notes",
    "Postponed",
    "Reported",
    "Spent",
    "Stage",
]

MOST_REQUESTS = 4
HARD_S = 120.0
"""Of a whole investigation."""

Stage = Literal["gathers evidence", "asks for the cause", "asks again", "asks a second opinion", "checks"]


class Spent(msgspec.Struct, frozen=True):
    """What was spent on an investigation."""

    requests: int = 0
    tokens: int = 0
    cost_usd: float | None = 0.0
    """`None`: not known, as a request was sent and nobody saw its end, or a model has no price."""


class Notes(Protocol):
    """Is told how an investigation goes, for whoever takes it up if this process ends."""

    async def stage(self, stage: Stage, *, asks: bool) -> bool:
        """Note what is done next, and whether that is a request; return whether the investigation is still wanted."""
        ...

    async def spent(self, tokens: int, cost_usd: float | None) -> None:
        """Note what the whole investigation has cost so far."""
        ...


class Reported(msgspec.Struct, frozen=True):
    """It ended with a report."""

    report: InvestigationReport
    bundle: EvidenceBundle

    @property
    def cited_occurrences(self) -> tuple[str, ...]:
        """The occurrences that citations which hold are of."""
        report = self.report
        checked = [each for step in report.chain for each in step.citations]
        checked += report.second_opinion.citations if report.second_opinion else ()
        cited = {each.citation.evidence.strip() for each in checked if each.is_verified}
        told = [each.occurrence_id for each in self.bundle.pieces if each.evidence_id in cited]
        return tuple(dict.fromkeys(filter(None, told)))


class Failed(msgspec.Struct, frozen=True):
    """It ended without one."""

    why: str
    models: tuple[AskedModel, ...] = ()
    tokens: int = 0
    cost_usd: float | None = 0.0


class Postponed(msgspec.Struct, frozen=True):
    """Nobody could be asked; it is taken up when somebody can."""

    why: str
    retry_after_s: float = 0.0


class _Ended(Exception):
    """It ends before its report."""


class _NoRequest(_Ended):
    """A bound allows no further request; the sentence says which."""


class _NoClaim(_Ended):
    """Nothing that a model said can be used; the sentence says why."""


class _Unwanted(_Ended):
    """It was cancelled."""


class _NobodyAsked(_Ended):
    """Nobody was asked."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.text)
        self.retry_after_s = reply.retry_after_s


@dataclass(frozen=True)
class Investigator:
    """Runs investigations, one after the other."""

    gatherer: EvidenceGatherer
    asking: ModelAsking
    patches: PatchChecker
    clock: Clock
    most_usd: float
    """That one investigation may cost."""
    hard_s: float = HARD_S

    def roles(self, suspect: str | None) -> Roles | Nobody:
        """Say who would be asked now about a group that concerns a provider."""
        first, second = self.asking.candidates()
        return choose_roles(first, second, suspect)

    def is_crowded(self) -> bool:
        """Return whether anybody waits for a permit, so that none is begun."""
        return self.asking.is_crowded()

    async def investigate(
        self, subject: Subject, suspect: str | None, notes: Notes, before: Spent
    ) -> Reported | Failed | Postponed | None:
        """Investigate; `None`: it was cancelled meanwhile.

        Args:
            suspect: the provider that the group concerns.
            before: what earlier processes spent on it.

        Raises:
            StoreFailed: the database is out of reach.
        """
        if self.is_crowded():
            return Postponed("Others wait for permits.")
        roles = self.roles(suspect)
        if isinstance(roles, Nobody):
            if roles.ever:
                return Postponed(roles.why)
            return Failed(roles.why, tokens=before.tokens, cost_usd=before.cost_usd)
        course = _Course(self, subject, roles, notes, before)
        try:
            async with asyncio.timeout(self.hard_s) as limit:
                return await course.run()
        except TimeoutError:
            if not limit.expired():
                raise
            return course.failed(f"It took longer than {self.hard_s:g} s.")
        except _Ended as ended:
            return course.ended(ended)


class _Course:
    """What one investigation has so far."""

    def __init__(
        self, investigator: Investigator, subject: Subject, roles: Roles, notes: Notes, before: Spent
    ) -> None:
        self._with = investigator
        self._subject = subject
        self._roles = roles
        self._told = notes
        self._before = before
        self._requests = before.requests
        self._began = investigator.clock.monotonic()
        self._replies: list[tuple[Role, Candidate, Reply]] = []

    async def run(self) -> Reported:
        """Ask, check and report."""
        await self._say("gathers evidence")
        bundle = await self._with.gatherer.gather(self._subject)
        claim, bundle = await self._claim(bundle)
        pieces = {piece.evidence_id: piece for piece in bundle.pieces}
        opinion, why_none = await self._second_opinion(bundle, claim, pieces)
        await self._say("checks")
        fix = await self._checked_fix(bundle, claim)
        chain = tuple(check_step(step, pieces) for step in claim.chain)
        report = InvestigationReport(
            level=level_of(chain, opinion.verdict, opinion.citations) if opinion else level_of(chain, None),
            cause=claim.cause,
            chain=chain,
            rejected=claim.rejected,
            fix=fix,
            reproduction=claim.reproduction,
            reach=claim.reach,
            second_opinion=opinion,
            no_second_opinion=why_none,
            would_decide=claim.would_decide,
            not_looked_at=claim.not_looked_at,
            left_out=bundle.left_out,
            models=self._models(),
            notes=self._notes(),
            release=self._subject.release,
            requests=self._requests,
            tokens=self._tokens(),
            cost_usd=self._usd(),
            seconds=round(self._with.clock.monotonic() - self._began, 3),
            shown_files=_shown_files(chain, pieces),
        )
        return Reported(report, bundle)

    def ended(self, error: _Ended) -> Failed | Postponed | None:
        """Return what becomes of an investigation that ended before its report."""
        if isinstance(error, _Unwanted):
            return None
        if isinstance(error, _NobodyAsked):
            return Postponed(str(error), error.retry_after_s)
        return self.failed(str(error))

    def failed(self, why: str) -> Failed:
        """Return that it failed, with what it cost."""
        return Failed(why, self._models(), self._tokens(), self._usd())

    async def _claim(self, bundle: EvidenceBundle) -> tuple[Claim, EvidenceBundle]:
        """Return the best claim and the evidence that it may cite.

        Raises:
            _NoClaim: there is none.
        """
        answer, problems = await self._asked(bundle, may_ask=True)
        if answer is not None and answer.report is None and answer.further:
            bundle = await self._with.gatherer.gather_more(self._subject, bundle, answer.further)
            answer, problems = await self._asked(bundle, may_ask=False)
        claim = None if answer is None else answer.report
        if problems:
            try:
                anew, still = await self._asked(bundle, may_ask=False, problems=problems, stage="asks again")
            except _NoRequest:
                anew, still = None, problems
            if (
                anew is not None
                and anew.report is not None
                and (claim is None or len(still) <= len(problems))
            ):
                claim = anew.report
            problems = still
        if claim is None:
            raise _NoClaim(f"No answer could be used: {problems[0] if problems else 'it has no report'}.")
        return claim, bundle

    async def _asked(
        self,
        bundle: EvidenceBundle,
        *,
        may_ask: bool,
        problems: Sequence[str] = (),
        stage: Stage = "asks for the cause",
    ) -> tuple[FirstAnswer | None, list[str]]:
        """Ask the investigating model; return its answer, and what is wrong with it."""
        prompt = report_prompt(bundle, may_ask=may_ask, problems=problems)
        reply = await self._ask("investigator", self._roles.investigator, prompt, stage)
        if reply.end in {"unavailable", "spent"} and not any(
            made.end == "answered" for _, _, made in self._replies
        ):
            raise _NobodyAsked(reply)
        if reply.end != "answered":
            raise _NoClaim(reply.text.rstrip("."))
        try:
            answer = read_answer(reply.text, FirstAnswer)
        except UnreadableAnswerError as error:
            return None, [str(error)]
        if answer.report is None:
            return answer, [] if may_ask and answer.further else ["it has no report"]
        return answer, _problems_of(answer.report, bundle)

    async def _second_opinion(
        self, bundle: EvidenceBundle, claim: Claim, pieces: dict[str, EvidencePiece]
    ) -> tuple[Opinion | None, str]:
        """Have the other model try to refute the claim; else say why there is no opinion."""
        if self._roles.second is None:
            return None, self._roles.no_second
        prompt = opinion_prompt(bundle, claim)
        try:
            reply = await self._ask("second opinion", self._roles.second, prompt, "asks a second opinion")
            if reply.end != "answered":
                return None, reply.text
            answer = read_answer(reply.text, OpinionAnswer)
        except (_NoRequest, UnreadableAnswerError) as error:
            return None, str(error)
        return Opinion(answer.verdict, answer.why, check_citations(answer.citations, pieces)), ""

    async def _ask(
        self,
        role: Role,
        model: Candidate,
        prompt: str,
        stage: Stage,
    ) -> Reply:
        """Ask once, if the bounds allow it.

        Raises:
            _NoRequest: they do not.
            _Unwanted: the investigation was cancelled.
        """
        if self._requests >= MOST_REQUESTS:
            raise _NoRequest(f"{MOST_REQUESTS} requests were made, and none more is")
        expected = self._with.asking.expected_usd(model, prompt)
        before = self._before
        spent = before.requests * expected if before.cost_usd is None else before.cost_usd
        spent += sum(reply.usd or 0.0 for _, _, reply in self._replies)
        most = self._with.most_usd
        if spent + expected > most:
            raise _NoRequest(
                f"one more would cost about {expected:.3f} USD; {spent:.3f} of {most:g} are spent"
            )
        await self._say(stage, asks=True)
        self._requests += 1
        left = max(0.0, self._began + self._with.hard_s - self._with.clock.monotonic())
        is_last = role == "second opinion"
        try:
            # A second opinion that does not come in time costs the opinion and not the report.
            async with asyncio.timeout(left * 0.9 if is_last else None) as limit:
                reply = await self._with.asking.ask(model, prompt)
        except TimeoutError:
            if not (is_last and limit.expired()):
                raise
            reply = Reply(
                end="failed", text="It did not answer in time.", name=model.name, provider=model.provider
            )
        self._replies.append((role, model, reply))
        await self._told.spent(self._tokens(), self._usd())
        return reply

    async def _say(self, stage: Stage, *, asks: bool = False) -> None:
        if not await self._told.stage(stage, asks=asks):
            raise _Unwanted

    async def _checked_fix(self, bundle: EvidenceBundle, claim: Claim) -> CheckedFix:
        fix = claim.fix
        if fix.kind != "patch":
            return CheckedFix(fix.kind, fix.text)
        if problems := problems_of_size(fix.patch):
            check = PatchCheck(applies=False, parses=None, commit="", problems=tuple(problems))
        else:
            check = await self._with.patches.check(bundle, fix.patch)
        return CheckedFix(fix.kind, fix.text, fix.patch, check)

    def _models(self) -> tuple[AskedModel, ...]:
        found: dict[tuple[str, str], AskedModel] = {}
        for role, model, reply in self._replies:
            before = found.get((role, reply.name))
            found[role, reply.name] = AskedModel(
                role,
                model.asked_for,
                reply.name,
                reply.provider,
                1 + (before.requests if before else 0),
                reply.emulated or bool(before and before.emulated),
            )
        return tuple(found.values())

    def _notes(self) -> tuple[str, ...]:
        notes = []
        models = self._models()
        if any(model.emulated for model in models):
            notes.append(
                "This is a demonstration: its models were emulated, and nothing of it is a judgement."
            )
        if self._before.requests:
            notes.append(
                f"{self._before.requests} of its requests were made before it was taken up again; "
                "tokens and cost have them, the models do not."
            )
        notes += [
            f"`{model.asked_for}` of the settings is {model.name} by the catalogue."
            for model in models
            if model.asked_for != model.name
        ]
        return tuple(dict.fromkeys(notes))

    def _tokens(self) -> int:
        return self._before.tokens + sum(reply.tokens for _, _, reply in self._replies)

    def _usd(self) -> float | None:
        known = [self._before.cost_usd, *(reply.usd for _, _, reply in self._replies)]
        return None if None in known else round(sum(usd or 0.0 for usd in known), 6)


def _problems_of(claim: Claim, bundle: EvidenceBundle) -> list[str]:
    """Say which citations of a claim do not hold, and that there are none."""
    pieces = {piece.evidence_id: piece for piece in bundle.pieces}
    chain = [check_step(step, pieces) for step in claim.chain]
    problems = [
        f"step {number}, citation of {each.citation.evidence}: {each.verdict}"
        for number, step in enumerate(chain, 1)
        for each in step.citations
        if not each.is_verified
    ]
    if not any(step.citations for step in chain):
        problems.append("no step cites evidence")
    return problems


def _shown_files(chain: Sequence[CheckedStep], pieces: dict[str, EvidencePiece]) -> tuple[ShownFile, ...]:
    """Name the lines of files that a chain rests on."""
    cited = {each.citation.evidence.strip() for step in chain for each in step.citations if each.is_verified}
    return tuple(
        ShownFile(piece.path, piece.sha256)
        for piece in pieces.values()
        if piece.path and piece.evidence_id in cited
    )
