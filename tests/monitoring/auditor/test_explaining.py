"""Explaining: one request for all that opened; sentences and a step of severity come of it, and nothing else."""

import pytest

from exai.events.bus import EventBus
from exai.events.events import ObservationOpened
from exai.monitoring.auditor.explaining import Explainer, Reply
from exai.runtime.clock import ManualClock
from exai.storage.auditor.observations import Observation, Observations, Seen
from exai.storage.database import Database


class Explained:
    """An explainer whose model answers what it is told to."""

    def __init__(self, database: Database, *replies: Reply) -> None:
        self.clock = ManualClock()
        self.observations = Observations(database, self.clock)
        self.prompts: list[str] = []
        self._replies = list(replies)
        self._bus = EventBus()
        self.explainer = Explainer(self.observations, self._ask, self.clock)
        self.explainer.watch(self._bus)

    async def _ask(self, prompt: str) -> Reply:
        self.prompts.append(prompt)
        return self._replies.pop(0)

    async def observe(self, observation_id: str, subject: str = "all") -> None:
        seen = Seen(observation_id, "loop", subject, "warning", "performance", {"lag ms": 200}, "Look.", 0.0)
        sighting = await self.observations.see(seen)
        kept = sighting.observation
        self._bus.publish(
            ObservationOpened(observation_id, kept.detector, subject, kept.severity, kept.numbers, "Look.")
        )

    async def kept(self, observation_id: str) -> Observation:
        found = await self.observations.get(observation_id)
        assert found is not None
        return found


def answered(*explanations: str) -> Reply:
    return Reply('Here it is: {"explanations": [' + ", ".join(explanations) + "]} Good luck.")


def one(observation_id: str, text: str, *, worse: bool = False) -> str:
    return f'{{"observation": "{observation_id}", "text": "{text}", "raise": {str(worse).lower()}}}'


async def test_one_request_explains_all_that_opened(database: Database) -> None:
    explained = Explained(
        database,
        answered(one("obs_a", "Busy  disk."), one("obs_b", "The same.", worse=True), one("obs_x", "?")),
    )
    await explained.observe("obs_a", "one")
    await explained.observe("obs_b", "two")
    await explained.explainer.explain()
    await explained.explainer.explain()
    (prompt,) = explained.prompts
    assert "lag ms" in prompt
    assert "obs_a" in prompt
    first, second = await explained.kept("obs_a"), await explained.kept("obs_b")
    assert (first.explanation, first.severity) == ("Busy disk.", "warning")
    assert (second.explanation, second.severity) == ("The same.", "critical")
    assert await explained.observations.get("obs_x") is None


@pytest.mark.sqlite
async def test_nothing_is_asked_about_nothing(database: Database) -> None:
    explained = Explained(database)
    await explained.explainer.explain()
    assert explained.prompts == []


@pytest.mark.sqlite
async def test_a_spent_budget_is_waited_for(database: Database) -> None:
    explained = Explained(database, Reply(None, 600.0), answered(one("obs_a", "Late.")))
    await explained.observe("obs_a")
    await explained.explainer.explain()
    explained.clock.advance(599)
    await explained.explainer.explain()
    assert len(explained.prompts) == 1
    explained.clock.advance(1)
    await explained.explainer.explain()
    assert (await explained.kept("obs_a")).explanation == "Late."


@pytest.mark.sqlite
@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "no object",
        "{",
        '{"explanations": "x"}',
        '{"explanations": [{"text": "x"}]}',
        '{"other": []}',
    ],
)
async def test_an_answer_that_is_none_explains_nothing(database: Database, text: str | None) -> None:
    explained = Explained(database, Reply(text))
    await explained.observe("obs_a")
    await explained.explainer.explain()
    await explained.explainer.explain()
    assert len(explained.prompts) == 1, "what was asked in vain is not asked again"
    assert (await explained.kept("obs_a")).explanation is None


@pytest.mark.sqlite
async def test_of_too_many_the_latest_are_asked_about(database: Database) -> None:
    explained = Explained(database, answered())
    for number in range(25):
        await explained.observe(f"obs_{number:02}", f"subject {number}")
    await explained.explainer.explain()
    assert explained.prompts[0].count("obs_") == 21
    assert "obs_04" not in explained.prompts[0]
