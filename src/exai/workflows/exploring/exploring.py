"""The stage `explore`: a model asks for what it still needs to see, in rounds that must each add something new.

    bounds hold? ─► round begun ─► model asked ─► its calls looked at ─► round and rows committed ─┐
      ▲ │ no                          │ calls nothing                       │ nothing new         │
      │ └────────────► ended, with why ◄┴───────────────────────────────────┘                      │
      └────────────────────────────────────────────────────────────────────────────────────────────┘

A round that ended is not asked again: its step has what the model called, its rows what it was shown, and both together
are the messages of the next round. Where the first round fails, the run does; where a later one does, what was found
stays, and the run goes on with it.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence

import msgspec

from exai.consulting.consultant import Consultant, Prepared
from exai.consulting.context import CallContext
from exai.consulting.inquiry import Inquiry
from exai.errors import ToolFault
from exai.evidence.packing import NO_ROOM
from exai.evidence.pieces import Piece
from exai.evidence.workspace import Workspace
from exai.files.documents.numbering import framed_name
from exai.messages import ToolCall
from exai.providers.base import Completion, ToolSpec
from exai.routing.tool_loop import DeclaredTool
from exai.runtime.clock import Clock
from exai.storage.workflows.evidence import EvidenceRow, EvidenceRows
from exai.storage.workflows.runs import Step
from exai.workflows.definitions import ExploreStage, Question
from exai.workflows.exploring.rounds import AnsweredCall, Explored, Round, transcript
from exai.workflows.exploring.tools import EXPLORING_TOOLS, ExploringTool, Looking
from exai.workflows.gathering.collecting import EvidenceWork
from exai.workflows.gathering.ledger import row_of
from exai.workflows.run_record import RunRecord
from exai.workflows.stage_output import digest_of

__all__ = ["Exploring", "specs_of"]

Spare = Callable[[], Awaitable[str | None]]
"""Says why what is left of a run's budget is needed for what follows; `None`: a round fits."""


class Exploring:
    """One call's work at a stage that explores."""

    def __init__(
        self,
        consultant: Consultant,
        record: RunRecord,
        evidence: EvidenceWork,
        context: CallContext,
        clock: Clock,
    ) -> None:
        self._consultant = consultant
        self._record = record
        self._evidence = evidence
        self._context = context
        self._clock = clock
        self._prepared: Prepared | None = None
        self.steps: dict[str, bool] = {}
        """The names of the rounds' steps, and whether each had ended before this call."""

    async def explore(
        self, stage: ExploreStage, most: int, question: Question, inquiry: Inquiry, spare: Spare
    ) -> Explored:
        """Look for further evidence in at most so many rounds; what was found before stays.

        Raises:
            ToolFault: the first round failed.
        """
        digest = digest_of(f"{question.digest} {most} {','.join(stage.tools)}")
        done = self._done(stage, most, digest)
        ended = self._record.ended(stage.name)
        if ended is not None and ended.digest == digest:
            return msgspec.json.decode(ended.output or "", type=Explored)
        self._evidence.keep(stage.name, done[-1].last if done else 0)
        began, note = self._clock.monotonic(), None
        why = _end_of(done)
        while why is None:
            if (why := await self._bound(stage, most, done, began, spare)) is not None:
                break
            if (why := await self._unable(inquiry, done)) is not None:
                break
            try:
                done.append(await self._round(stage, digest, done, inquiry))
            except ToolFault as fault:
                if not done:
                    raise
                why = f"A request failed ({fault.code})."
                note = f"The search for further evidence ended early: a request failed ({fault.code})."
            else:
                why = _end_of(done)
        explored = Explored(
            sum(bool(each.rows) for each in done), why, done[-1].model if done else None, note
        )
        await self._end(stage, digest, explored)
        return explored

    def _done(self, stage: ExploreStage, most: int, digest: str) -> list[Round]:
        """Read the rounds that had ended before this call."""
        done: list[Round] = []
        for number in range(1, most + 1):
            name = _name(stage, number)
            step = self._record.ended(name)
            if step is None or step.digest != digest:
                break
            self.steps[name] = True
            done.append(msgspec.json.decode(step.output or "", type=Round))
        return done

    async def _bound(
        self, stage: ExploreStage, most: int, done: Sequence[Round], began: float, spare: Spare
    ) -> str | None:
        """Say which bound ends it before another round."""
        if len(done) >= most:
            return f"Its {most} rounds were used."
        if self._room(stage) <= 0:
            return f"Its {stage.tokens:,} tokens were used."
        is_late = self._clock.monotonic() - began >= stage.seconds
        if is_late or self._consultant.left_s(self._context) < stage.seconds:
            return "The time that is left is for what follows."
        if stage.usd is not None and self._record.usd >= stage.usd:
            return f"Its {stage.usd:g} dollars were spent."
        return await spare()

    async def _unable(self, inquiry: Inquiry, done: Sequence[Round]) -> str | None:
        """Say which model cannot look by itself, where it cannot."""
        model = self._consultant.choose(await self._prepare(inquiry, done)).model
        return None if model.calls_tools else f"{model.name} calls no tools."

    async def _round(
        self, stage: ExploreStage, digest: str, done: Sequence[Round], inquiry: Inquiry
    ) -> Round:
        prepared = await self._prepare(inquiry, done)
        name, number = _name(stage, len(done) + 1), len(done) + 1
        step = await self._record.begin(
            Step(name, "request", "begun", digest, 0, self._context.call_id, self._clock.utc())
        )
        began = self._clock.monotonic()
        rows = {row.number: row for row in self._evidence.rows}
        try:
            turn = await self._consultant.turn(prepared, transcript(done, rows), self._context)
        except ToolFault:
            await self._record.put(msgspec.structs.replace(step, state="failed"))
            raise
        after = self._evidence.last
        look = _Look(
            stage,
            number,
            self._evidence.rows,
            max(after, _ids(prepared, self._evidence.count)),
            self._room(stage),
        )
        calls = await self._answer(look, turn.completion)
        made = Round.of(turn.completion, calls, look.last)
        ended = msgspec.structs.replace(
            step,
            state="ended",
            output=msgspec.json.encode(made).decode(),
            model=made.model,
            usd=turn.cost.usd,
            seconds=round(self._clock.monotonic() - began, 3),
            ended_at=self._clock.utc(),
        )
        await self._record.gathered(ended, EvidenceRows(after, tuple(look.rows)))
        self._evidence.add(look.rows)
        self.steps[name] = False
        return made

    async def _prepare(self, inquiry: Inquiry, done: Sequence[Round]) -> Prepared:
        """Read what the inquiry names, once; whoever answered the first round answers the others."""
        if self._prepared is None:
            self._prepared = await self._consultant.prepare(inquiry, self._context)
        if not done:
            return self._prepared
        its = msgspec.structs.replace(inquiry, model=done[0].model, fallback_models=())
        return msgspec.structs.replace(self._prepared, inquiry=its)

    async def _answer(self, look: "_Look", completion: Completion) -> list[AnsweredCall]:
        """Look at what a model calls for, in turn."""
        if not completion.tool_calls:
            return []
        try:
            async with self._evidence.open() as workspace:
                return [await look.answer(workspace, call) for call in completion.tool_calls]
        except ToolFault as fault:  # the workspace cannot be opened any more
            return [_refused(call, str(fault)) for call in completion.tool_calls]

    async def _end(self, stage: ExploreStage, digest: str, explored: Explored) -> None:
        now, output = self._clock.utc(), msgspec.json.encode(explored).decode()
        step = Step(
            stage.name, "gather", "ended", digest, 0, self._context.call_id, now, output, ended_at=now
        )
        await self._record.gathered(step, EvidenceRows(self._evidence.last, ()))

    def _room(self, stage: ExploreStage) -> int:
        its = (row.tokens for row in self._evidence.rows if row.stage == stage.name and row.left_out is None)
        return stage.tokens - sum(its)


class _Look:
    """What one round looks at, and the rows that it adds."""

    def __init__(
        self, stage: ExploreStage, number: int, before: Iterable[EvidenceRow], last: int, room: int
    ) -> None:
        self._stage = stage
        self._number = number
        self._room = room
        self._calls = 0
        self._shown: dict[tuple[str, str, str], dict[int, int]] = {}
        """Of each file, by line, under which number it is shown; of a text as a whole, by its digest, as line 0."""
        self.rows: list[EvidenceRow] = []
        self.last = last
        """The last number that was given away."""
        for row in before:
            if row.left_out is None:
                self._show(row)

    async def answer(self, workspace: Workspace, call: ToolCall) -> AnsweredCall:
        """Answer a call; what is wrong with it is what it is answered."""
        self._calls += 1
        if self._calls > self._stage.calls:
            return _refused(call, f"Not looked at: at most {self._stage.calls} calls at a time.")
        tool = EXPLORING_TOOLS.get(call.name) if call.name in self._stage.tools else None
        if tool is None:
            return _refused(call, f"There is no such tool. There are: {', '.join(self._stage.tools)}.")
        try:
            given = _declared(call.name, tool).read(call.arguments)
            pieces = await tool.look(workspace, given, self._why(given))
        except (ValueError, ToolFault) as fault:
            return _refused(call, str(fault))
        shown, said = [], []
        for piece in pieces:
            number, words = self._take(piece)
            shown += [] if number is None else [number]
            said += [] if words is None else [words]
        return AnsweredCall(
            call.id,
            call.name,
            call.arguments,
            tuple(shown),
            " ".join(said or [] if pieces else ["Nothing is there."]),
        )

    def _take(self, piece: Piece) -> tuple[int | None, str | None]:
        """Keep a piece that adds something; return its number where it is shown, or why it is not."""
        has = self._shown.get(_key(piece), {})
        lines = _lines(piece)
        if all(line in has for line in lines):
            named = ", ".join(f"E{number}" for number in sorted({has[line] for line in lines}))
            return None, f"{named} has this already."
        self.last += 1
        left_out = NO_ROOM if piece.tokens > self._room else None
        row = row_of(piece, self.last, self._stage.name, left_out)
        self.rows.append(row)
        if left_out is not None:
            return (
                None,
                "There is no room for all of this: ask for fewer lines, or conclude with what you have.",
            )
        self._room -= piece.tokens
        self._show(row)
        return self.last, None

    def _show(self, row: EvidenceRow) -> None:
        self._shown.setdefault(_key(row), {}).update(dict.fromkeys(_lines(row), row.number))

    def _why(self, given: Looking) -> str:
        why = framed_name(given.why.strip())
        return f"asked for in round {self._number}{f': {why}' if why else ''}"


def specs_of(stage: ExploreStage) -> tuple[ToolSpec, ...]:
    """Return what a prompt declares of a stage's tools."""
    return tuple(_declared(name, EXPLORING_TOOLS[name]).spec for name in stage.tools)


def _declared(name: str, tool: ExploringTool) -> DeclaredTool:
    return DeclaredTool(name, f"{tool.description} What it returns is material.", tool.arguments)


def _end_of(done: Sequence[Round]) -> str | None:
    """Say why the last round was the last, where it was."""
    if not done:
        return None
    if not done[-1].calls:
        return "The model asked for nothing more."
    return None if done[-1].rows else "A round added nothing new."


def _refused(call: ToolCall, sentence: str) -> AnsweredCall:
    return AnsweredCall(call.id, call.name, call.arguments, sentence=f"Error: {sentence}")


def _key(piece: Piece | EvidenceRow) -> tuple[str, str, str]:
    return (piece.path, piece.sha256, piece.rev)


def _lines(piece: Piece | EvidenceRow) -> Sequence[int]:
    return range(piece.first, piece.last + 1) if piece.path and piece.total else (0,)


def _ids(prepared: Prepared, count: int) -> int:
    """Return the last id that the files beside the evidence have."""
    gathered = prepared.material.gathered
    return count + len(gathered.texts) + len(gathered.attached) + len(gathered.unread)


def _name(stage: ExploreStage, number: int) -> str:
    return f"{stage.name}_{number}"
