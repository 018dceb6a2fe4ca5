"""When another family is asked, and who: every case of the table."""

from dataclasses import replace
from pathlib import Path

import pytest

from exai.storage.workflows.findings import VerdictsOfModels
from exai.workflows.definitions import Workflow, read_folder
from exai.workflows.experts import ENOUGH_VERDICTS, Chosen, TrackRecord, choose_other, decide, family_of
from support.scripted import MODEL

DEFINITION = """
name = "guess"
version = 1
question = "problem"
result = "answer"
budget = { usd = 1.0, seconds = 60, requests = 3 }
expert = { POLICY }
stage = [{ name = "answer" }]
"""


def workflow(folder: Path, policy: str) -> Workflow:
    (folder / "guess.toml").write_text(DEFINITION.replace("POLICY", policy))
    (folder / "guess.md").write_text("[[system]]\n[[answer]]\n{problem}")
    (read,) = read_folder(folder)
    return read


@pytest.mark.parametrize(
    ("policy", "declined", "asks", "why"),
    [
        ('policy = "never"', False, False, "asks nobody else"),
        ('policy = "never"', True, False, "asks nobody else"),
        ('policy = "always"', False, True, "always asks another family."),
        ('policy = "always"', True, True, "whatever use_assistant_model says"),
        ('policy = "auto"', False, True, "unless that is declined"),
        ('policy = "auto"', True, False, "You declined it"),
        ("when = [\"depth == 'deep'\"]", False, True, "when depth == 'deep'"),
        ("when = [\"depth == 'deep'\"]", True, False, "You declined it"),
        (
            'when = ["top_confidence < 0.8"]',
            False,
            False,
            "None of its conditions holds: top_confidence < 0.8",
        ),
    ],
)
def test_the_definition_decides(tmp_path: Path, policy: str, declined: bool, asks: bool, why: str) -> None:
    values = {"depth": "deep", "top_confidence": 0.9}
    decision = decide(workflow(tmp_path, policy), values, declined=declined)
    assert decision.asks is asks
    assert why in decision.why


@pytest.mark.parametrize(
    ("lead", "able", "chosen"),
    [
        ("glm-5", ["glm-5", "kimi-k3"], Chosen("kimi-k3", "other")),
        ("kimi-k3", ["glm-5", "kimi-k3", "glm-4"], Chosen("glm-5", "other", ("glm-4",))),
        ("glm-5", ["glm-4", "here/glm-air"], Chosen("glm-5", "same")),
        ("glm-5", ["here/llama", "kimi-k3", "here/qwen"], Chosen("here/llama", "other", ("here/qwen",))),
        ("glm-5", [], Chosen("glm-5", "same")),
    ],
)
def test_the_best_of_another_family_is_chosen(lead: str, able: list[str], chosen: Chosen) -> None:
    assert choose_other(lead, [replace(MODEL, name=name) for name in able]) == chosen


def test_a_family_is_known_by_the_name_else_by_the_endpoint() -> None:
    assert [family_of(name) for name in ("GLM-5", "router/kimi-k3", "here/llama", "qwen")] == [
        "glm",
        "kimi",
        "here",
        "qwen",
    ]


@pytest.mark.parametrize(
    ("judged", "model"),
    [
        ([("kimi-k3", ENOUGH_VERDICTS - 1, 29), ("house/m", 0, 0)], "kimi-k3"),
        ([("kimi-k3", 10, 5), ("house/m", 20, 2)], "house/m"),
        ([("kimi-k3, kimi-k2", 10, 5), ("glm-5, house/m", 20, 2)], "house/m"),
        ([("kimi-k3", 30, 10)], "kimi-k3"),
        ([("kimi-k3", 30, 20)], "house/m"),
        ([("kimi-k3", 15, 3), ("house/m", 15, 3)], "kimi-k3"),
        ([("glm-5", 40, 0)], "kimi-k3"),
    ],
)
def test_of_several_families_the_one_is_asked_that_was_right_once_enough_was_judged(
    judged: list[tuple[str, int, int]], model: str
) -> None:
    able = [replace(MODEL, name=name) for name in ("glm-5", "kimi-k3", "house/m", "kimi-k2", "house/n")]
    record = TrackRecord.of("full", [VerdictsOfModels(*each) for each in judged])
    chosen = choose_other("glm-5", able, record)
    fallback = {"kimi-k3": "kimi-k2", "house/m": "house/n"}[model]
    assert (chosen.model, chosen.fallbacks) == (model, (fallback,))
    assert bool(chosen.why) is record.is_enough
    if record.is_enough:
        assert f"By your {record.verdicts} verdicts" in chosen.why
    assert choose_other("glm-5", able[:2], record) == Chosen("kimi-k3", "other"), "one family is no choice"


def test_a_family_that_cannot_be_asked_now_is_not_chosen_for_its_verdicts() -> None:
    able = [replace(MODEL, name=name) for name in ("glm-5", "kimi-k3", "house/m")]
    record = TrackRecord.of("full", [VerdictsOfModels("house/m", 30, 0)])
    assert choose_other("glm-5", able, record).model == "house/m"
    assert choose_other("glm-5", able, record, lambda model: model.name != "house/m").model == "kimi-k3"
    assert choose_other("glm-5", able, record, lambda _: False).model == "house/m"
