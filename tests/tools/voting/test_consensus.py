"""`consensus`: blind votes side by side, a second round, what counts, what it may cost, and who is left out."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from exai import config
from exai.callers import Caller, Door
from exai.consulting.consultant import Consultant
from exai.consulting.context import CallContext
from exai.consulting.faults import BudgetTooSmall, ConsensusIncomplete
from exai.consulting.results import ToolReturn
from exai.conversations.conversations import Conversations
from exai.conversations.token_counts import TokenCounts
from exai.errors import (
    BadArguments,
    ContextOverflow,
    ProviderFailed,
    ProviderUnconfigured,
    Stopping,
    UnknownModel,
)
from exai.providers.base import OnDelta, Prompt
from exai.providers.catalog import Model
from exai.routing.router import Choice
from exai.runtime.clock import SystemClock
from exai.storage.conversations.calibrations import CalibrationTable
from exai.storage.conversations.tables import ConversationTables
from exai.storage.database import Database
from exai.tools.arguments import parse_arguments
from exai.tools.voting.consensus import ConsensusTool
from exai.tools.voting.outcome import Consensus, ConsensusReport
from support.file_sources import file_sources
from support.scripted import MODEL, ScriptedProvider, asker, asking

pytestmark = pytest.mark.sqlite

Said = dict[str, Any] | str | Exception | Callable[[Prompt], Any]
"""What a model answers: fields of an object, a text, a failure, or a function of the prompt."""


def voted(verdict: str, confidence: float = 8, *points: str, **further: Any) -> dict[str, Any]:
    return {
        "verdict": verdict,
        "confidence": confidence,
        "points": list(points or (f"{verdict} it",)),
        **further,
    }


class Polled:
    """A router whose models are named after their families: `a1` and `a2` are of the family `a`."""

    def __init__(self, provider: ScriptedProvider, names: tuple[str, ...]) -> None:
        self.providers = {provider.name: provider}
        self.askable = tuple(replace(MODEL, name=name, wire_name=name) for name in names)

    def family(self, model: Model) -> str:
        return model.name[0]

    def resolve(self, name: str | None, **_: Any) -> Choice:
        for model in self.askable:
            if model.name == name:
                return Choice(model, name, None)
        raise UnknownModel(f"There is no model {name!r}.")


class Statuses:
    """Progress that keeps its sentences."""

    def __init__(self) -> None:
        self.sentences: list[str] = []

    def deltas_of(self, _: str, /) -> OnDelta | None:
        return None

    def status(self, sentence: str) -> None:
        self.sentences.append(sentence)


class Poll:
    """`consensus` over scripted models; the arbiter is `z1`, which votes last by default."""

    def __init__(self, database: Database, root: Path, says: Mapping[str, Said]) -> None:
        self.says = dict(says)
        self.provider = ScriptedProvider(*[self._answer] * 40)
        self.router = Polled(self.provider, tuple(says))
        self.progress = Statuses()
        consultant = Consultant(
            router=self.router,  # type: ignore[arg-type]
            conversations=Conversations(ConversationTables(database), SystemClock(), 50),
            files=file_sources(database, root, root),
            limits=config.Conversations(),
            tool_limits=config.ToolLoop(),
            counts=TokenCounts(CalibrationTable(database), SystemClock(), {}),
            clock=SystemClock(),
        )
        self.tool = ConsensusTool(consultant)

    def _answer(self, prompt: Prompt) -> Any:
        said = self.says[prompt.model.name]
        if callable(said):
            said = said(prompt)
        return json.dumps(said) if isinstance(said, dict) else said

    async def ask(self, question: str = "Use a queue?", **arguments: Any) -> ToolReturn[Consensus]:
        ask = asker(asking(self.router), progress=self.progress)
        context = CallContext("call_1", Caller.local(Door.WEBSOCKET), ask, self.progress)
        given = parse_arguments(self.tool.tool(), {"question": question, **arguments})
        return await self.tool.run(given, context)

    def asked(self, model: str) -> list[Prompt]:
        return [prompt for prompt in self.provider.asked if prompt.model.name == model]


SUMMARY = {"summary": "They agree.", "would_settle": "A load test."}


@pytest.fixture
def poll(database: Database, tmp_path: Path) -> Callable[..., Poll]:
    def make(**says: Said) -> Poll:
        return Poll(database, tmp_path, {**says, "z1": says.get("z1", SUMMARY)})

    return make


async def test_each_votes_blind_on_the_same_words_and_another_model_sums_up(
    poll: Callable[..., Poll], tmp_path: Path
) -> None:
    (tmp_path / "a.py").write_text("queue = []\n")
    vote = poll(
        a1=voted("support", 9, "It decouples."), b1=voted("support", 7), c1=voted("oppose", 4, "It adds.")
    )
    returned = await vote.ask(absolute_file_paths=[str(tmp_path / "a.py")])
    result, report = returned.result, returned.report
    assert (result.majority, result.share, result.weak) == ("support", 0.667, False)
    assert (result.answer, result.would_settle) == ("They agree.", "A load test.")
    assert [(each.model, each.verdict) for each in result.votes] == [
        ("a1", "support"),
        ("b1", "support"),
        ("c1", "oppose"),
    ]
    assert "It adds." in result.text(), "the dissent is there in full"
    questions = {vote.asked(name)[0].messages[-1].text for name in ("a1", "b1", "c1")}
    assert len(questions) == 1, "all get the same words, and the same files"
    assert "queue = []" in questions.pop()
    (summed,) = vote.asked("z1")
    shown = summed.messages[-1].text
    assert "Reviewer A: support, confidence 9 of 10" in shown
    assert not any(name in shown for name in ("a1", "b1", "c1"))
    assert isinstance(report, ConsensusReport)
    assert (report.rounds, report.arbiter, report.families) == (1, "z1", {"a1": "a", "b1": "b", "c1": "c"})
    assert report.estimated_usd > 0
    assert result.cost_usd == pytest.approx(4 * 2.0)
    assert any("a1 voted support, confidence 9" in sentence for sentence in vote.progress.sentences)
    assert returned.findings.conversation_id == result.continuation_id


async def test_chat_can_go_on_from_a_vote(poll: Callable[..., Poll], database: Database) -> None:
    vote = poll(a1=voted("support"), b1=voted("support"))
    result = (await vote.ask(models=["a1", "b1"])).result
    caller = Caller.local(Door.WEBSOCKET)
    conversations = Conversations(ConversationTables(database), SystemClock(), 50)
    conversation = await conversations.open(caller, result.continuation_id)
    question, answer = (await conversations.recall(conversation, 10_000, reasoning_of=None)).messages
    assert question.text == "Use a queue?"
    assert answer.text.startswith("Majority: support")


async def test_models_are_asked_side_by_side(poll: Callable[..., Poll]) -> None:
    together = asyncio.Barrier(3)

    async def when_all_are_asked(prompt: Prompt) -> str:
        await together.wait()
        return json.dumps(voted("support"))

    vote = poll(a1=when_all_are_asked, b1=when_all_are_asked, c1=when_all_are_asked)
    assert len((await vote.ask()).result.votes) == 3


async def test_places_that_a_point_names_and_the_files_do_not_have_are_marked_before_anybody_reads_them(
    poll: Callable[..., Poll], tmp_path: Path
) -> None:
    (tmp_path / "a.py").write_text("queue = []\n\ndef take_one():\n    return queue.pop()\n")
    vote = poll(
        a1=voted("support", 9, "`take_one` pops at a.py:4.", "`close_all` is missing at a.py:3."),
        b1=voted("support", 7, "See a.py:90."),
        c1=voted("oppose", 4, "It adds."),
    )
    returned = await vote.ask(absolute_file_paths=[str(tmp_path / "a.py")])
    text, report = returned.result.text(), returned.report
    assert "`take_one` pops at a.py:4." in text
    assert "`close_all` is missing at a.py:3 (unverified)." in text
    (summed,) = vote.asked("z1")
    assert "See a.py:90 (unverified)." in summed.messages[-1].text
    assert isinstance(report, ConsensusReport)
    assert report.citations == {"plausible": 1, "unverified": 2}


async def test_a_weak_vote_is_held_again_with_the_points_of_the_others(poll: Callable[..., Poll]) -> None:
    def second(prompt: Prompt) -> dict[str, Any]:
        if "Other reviewers made these points" not in prompt.messages[-1].text:
            return voted("oppose", 6, "It is slow.")
        return voted("support", 7, moved_by="p1.")

    vote = poll(a1=voted("support", 6, "It is simple."), b1=second)
    returned = await vote.ask(models=["a1", "b1"])
    moved = returned.result.votes[1]
    assert (moved.verdict, moved.changed_from, moved.moved_by) == ("support", "oppose", "It is simple.")
    assert (returned.result.majority, returned.result.weak) == ("support", False)
    again = vote.asked("b1")[1].messages[-1].text
    assert "P1. It is simple." in again
    assert "a1" not in again
    assert "changed from oppose by: It is simple." in returned.result.text()
    assert isinstance(returned.report, ConsensusReport)
    assert returned.report.rounds == 2


@pytest.mark.parametrize("moved_by", ["", "the others", "P9", "P0"])
async def test_a_change_without_a_reason_conforms_and_the_first_vote_counts(
    poll: Callable[..., Poll], moved_by: str
) -> None:
    def follow(prompt: Prompt) -> dict[str, Any]:
        is_second = "Other reviewers" in prompt.messages[-1].text
        return voted("support" if is_second else "oppose", 6, "No.", moved_by=moved_by)

    result = (await poll(a1=voted("support", 6), b1=follow).ask(models=["a1", "b1"])).result
    conformed = result.votes[1]
    assert (conformed.verdict, conformed.conformed) == ("oppose", True)
    assert result.weak
    assert "the first one counts" in result.text()


async def test_without_rebuttal_a_weak_vote_stays(poll: Callable[..., Poll]) -> None:
    vote = poll(a1=voted("support"), b1=voted("oppose"))
    result = (await vote.ask(models=["a1", "b1"], rebuttal=False)).result
    assert (result.weak, result.majority) == (True, None)
    assert "Majority: a tie" in result.text()
    assert len(vote.provider.asked) == 3


async def test_a_model_that_fails_is_an_entry_and_the_first_vote_of_one_that_fails_later_stays(
    poll: Callable[..., Poll],
) -> None:
    def fails_later(prompt: Prompt) -> Said:
        is_second = "Other reviewers" in prompt.messages[-1].text
        return ProviderFailed("broke") if is_second else voted("oppose", 9)

    vote = poll(a1=ProviderFailed("It broke."), b1=voted("support", 9), c1=fails_later)
    result = (await vote.ask()).result
    assert [(each.model, each.code) for each in result.without_vote] == [("a1", "provider_failed")]
    assert [each.verdict for each in result.votes] == ["support", "oppose"]
    assert "c1 did not vote again (provider_failed); its first vote counts." in result.notes
    assert "- a1: no vote (provider_failed). It broke." in result.text()


async def test_fewer_than_two_votes_are_an_error_with_what_there_is(poll: Callable[..., Poll]) -> None:
    vote = poll(a1=ProviderFailed("It broke."), b1=voted("support", 9, "It decouples."), c1="I cannot say.")
    with pytest.raises(ConsensusIncomplete, match="1 of 3 models voted") as caught:
        await vote.ask()
    assert "a1: provider_failed, It broke." in str(caught.value)
    assert len(str(caught.value)) < 1_500
    assert "- b1: support, confidence 9\n  - It decouples." in caught.value.partial
    assert "- c1: I cannot say." in caught.value.partial
    assert not vote.asked("z1")


async def test_a_model_that_takes_too_long_is_not_waited_for(poll: Callable[..., Poll]) -> None:
    async def never(_: Prompt) -> str:
        await asyncio.Event().wait()
        return ""

    vote = poll(a1=voted("support"), b1=voted("support"), c1=never)
    result = (await vote.ask(deadline_s=0.2)).result
    assert [(each.model, each.code) for each in result.without_vote] == [("c1", "deadline_exceeded")]
    assert vote.provider.cancelled == 1


async def test_a_decided_vote_waits_for_nobody_if_that_is_wanted(poll: Callable[..., Poll]) -> None:
    async def never(_: Prompt) -> str:
        await asyncio.Event().wait()
        return ""

    vote = poll(a1=voted("support"), b1=voted("support"), c1=never)
    result = (await vote.ask(early_stop=True)).result
    assert [(each.model, each.code) for each in result.without_vote] == [("c1", "not_awaited")]


async def test_above_its_budget_nothing_is_asked(poll: Callable[..., Poll]) -> None:
    vote = poll(a1=voted("support"), b1=voted("support"))
    with pytest.raises(
        BudgetTooSmall, match=r"estimated at \$0\.\d+, above budget_usd 0.001. Nothing was asked"
    ):
        await vote.ask(models=["a1", "b1"], budget_usd=0.001)
    assert vote.provider.asked == []


async def test_a_budget_caps_answers_and_ends_further_rounds(poll: Callable[..., Poll]) -> None:
    # Each scripted answer costs two dollars, whatever the estimate.
    vote = poll(a1=voted("support"), b1=voted("oppose"))
    result = (await vote.ask(models=["a1", "b1"], budget_usd=1)).result
    assert all(prompt.max_output_tokens == 8_000 for prompt in vote.provider.asked)
    assert result.notes == (
        "The vote is weak, and budget_usd did not allow for a second round.",
        "budget_usd did not allow for a summary.",
    )
    assert result.answer == "2 models voted: 1 for support, 1 for oppose."


async def test_a_model_without_a_price_cannot_be_held_to_a_budget(poll: Callable[..., Poll]) -> None:
    vote = poll(a1=voted("support"), b1=voted("support"))
    vote.router.askable = tuple(replace(model, price=None) for model in vote.router.askable)
    with pytest.raises(BudgetTooSmall, match="no estimate can be held to it"):
        await vote.ask(budget_usd=5)
    assert (await vote.ask()).result.cost_usd is None


@pytest.mark.parametrize(
    ("says", "note"),
    [
        (ProviderFailed("broke"), "z1 could not sum up (provider_failed); the votes stand without it."),
        ("In prose.", None),
    ],
)
async def test_the_votes_stand_whatever_becomes_of_the_summary(
    poll: Callable[..., Poll], says: Said, note: str | None
) -> None:
    result = (await poll(a1=voted("support"), b1=voted("support"), z1=says).ask(models=["a1", "b1"])).result
    assert result.majority == "support"
    assert result.notes == (() if note is None else (note,))
    assert result.answer == ("In prose." if note is None else "2 models voted: 2 for support.")


async def test_nobody_sums_up_who_votes(poll: Callable[..., Poll]) -> None:
    vote = poll(a1=voted("support"))
    vote.says["z1"] = voted("support")
    result = (await vote.ask()).result
    assert result.notes == ("No model is left that did not vote, so nobody summed up.",)
    with pytest.raises(BadArguments, match="z1 votes"):
        await vote.ask(arbiter="z1")
    silent = (await vote.ask(arbiter="none")).result
    assert silent.notes == ()


async def test_own_options_are_the_verdicts(poll: Callable[..., Poll]) -> None:
    vote = poll(a1=voted("Kafka"), b1=voted("Kafka"))
    result = (await vote.ask("Which?", models=["a1", "b1"], options=["Kafka", "NATS"])).result
    assert result.majority == "Kafka"
    schema = vote.asked("a1")[0].answer_schema
    assert schema is not None
    assert schema.schema["properties"]["verdict"]["enum"] == ["Kafka", "NATS"]


async def test_a_stance_is_put_last_and_shown(poll: Callable[..., Poll]) -> None:
    vote = poll(a1=voted("support"), b1=voted("support"))
    models = [
        {"model": "a1", "stance": "for"},
        {"model": "a1", "stance": "against", "stance_prompt": "Be brief."},
    ]
    result = (await vote.ask(models=models)).result
    assert [each.stance for each in result.votes] == ["for", "against"]
    first, second = (prompt.messages[-1].text for prompt in vote.asked("a1"))
    assert first.startswith("Use a queue?\n\nYou were asked to make the case for it")
    assert second.endswith("Be brief.")
    assert "a1, asked to argue for: support" in result.text()


async def test_a_question_that_fits_no_window_of_one_model_leaves_it_out(poll: Callable[..., Poll]) -> None:
    vote = poll(a1=voted("support"), b1=voted("support"), c1=voted("support"))
    *large, small, last = vote.router.askable
    vote.router.askable = (*large, replace(small, context_tokens=600, max_output_tokens=100), last)
    result = (await vote.ask("queue " * 2_000, models=["a1", "b1", "c1"])).result
    assert [(each.model, each.code) for each in result.without_vote] == [("c1", ContextOverflow.code)]
    assert len(result.votes) == 2


async def test_what_ends_the_call_ends_the_vote(poll: Callable[..., Poll]) -> None:
    with pytest.raises(Stopping):
        await poll(a1=Stopping("stopping"), b1=voted("support")).ask(models=["a1", "b1"])
    with pytest.raises(Stopping):
        await poll(a1=voted("support"), b1=voted("support"), z1=Stopping("x")).ask(models=["a1", "b1"])


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"question": "  "}, "Argument 'question' is blank"),
        ({"models": ["a1"]}, "Argument 'models': 1 given. Name 2 to 8"),
        ({"models": ["a1", "a1"]}, "a1 is named twice"),
        (
            {"models": ["a1", {"model": "b1", "stance": "loud"}]},
            r"Argument 'models\[1\]': Invalid enum value 'loud'",
        ),
        ({"models": ["a1", 3]}, r"Argument 'models\[1\]': Expected"),
        ({"options": ["one"]}, "Give 2 to 8 different texts"),
        ({"step_number": 2, "total_steps": 3, "findings": "x"}, "a vote is one call here"),
    ],
)
async def test_what_cannot_be_voted_on_names_the_argument(
    poll: Callable[..., Poll], arguments: dict[str, Any], why: str
) -> None:
    with pytest.raises(BadArguments, match=why):
        await poll(a1=voted("support"), b1=voted("support")).ask(**arguments)


async def test_a_vote_needs_models_that_exist(poll: Callable[..., Poll]) -> None:
    vote = poll()
    with pytest.raises(ProviderUnconfigured, match="A vote needs two models"):
        await vote.ask()
    with pytest.raises(UnknownModel):
        await vote.ask(models=["z1", "x9"])


async def test_the_default_is_the_first_of_each_family_and_one_more(poll: Callable[..., Poll]) -> None:
    says = dict.fromkeys(("a1", "a2", "a3", "b1"), voted("support"))
    vote = poll(**says)
    vote.router.askable = vote.router.askable[:4]
    assert [each.model for each in (await vote.ask(arbiter="none")).result.votes] == ["a1", "b1", "a2"]
