"""Who takes over after which failure: the table, without I/O."""

import pytest

from exai import errors
from exai.errors import (
    AnswerBroken,
    ContentFiltered,
    ContextOverflow,
    ProviderOverloaded,
    ProviderUnauthorized,
    ToolFault,
)
from exai.providers.catalog import Catalog, Model
from exai.routing.fallback import who_takes_over

MODELS = Catalog.load().models
GLM, SMALL, KIMI, LARGEST = (MODELS[name] for name in ("glm-5.1", "glm-4.5", "kimi-k2.6", "kimi-k3"))
ALLOWED = (SMALL, KIMI, LARGEST)


def taken_over(fault: ToolFault, failed: Model = GLM, *, filtered_too: bool = False) -> list[str]:
    return [model.name for model in who_takes_over(fault, failed, ALLOWED, filtered_too=filtered_too)]


def test_an_outage_leads_to_the_next_and_those_after_it() -> None:
    assert taken_over(ProviderOverloaded("x")) == ["glm-4.5", "kimi-k2.6", "kimi-k3"]


def test_a_bad_key_leads_to_another_provider() -> None:
    assert taken_over(ProviderUnauthorized("x")) == ["kimi-k2.6", "kimi-k3"]


def test_an_overflow_leads_to_a_larger_window_alone() -> None:
    assert taken_over(ContextOverflow("x")) == ["kimi-k2.6", "kimi-k3"]
    assert taken_over(ContextOverflow("x"), KIMI) == ["kimi-k3"]
    assert taken_over(ContextOverflow("x"), LARGEST) == []


def test_what_was_filtered_goes_nowhere_without_consent_and_never_to_the_same_provider() -> None:
    assert taken_over(ContentFiltered("x")) == []
    assert taken_over(ContentFiltered("x"), filtered_too=True) == ["kimi-k2.6", "kimi-k3"]
    assert taken_over(ContentFiltered("x"), KIMI, filtered_too=True) == ["glm-4.5", "kimi-k2.6", "kimi-k3"]


@pytest.mark.parametrize(
    "kind",
    [
        errors.ProviderRefused,
        errors.AnswerEmpty,
        AnswerBroken,
        errors.DeadlineExceeded,
        errors.Stopping,
        errors.StoreFailed,
        errors.Overloaded,
        errors.BadArguments,
        errors.FileRefused,
        errors.Incident,
    ],
)
def test_a_fault_that_no_other_model_avoids_ends_the_call(kind: type[ToolFault]) -> None:
    assert taken_over(kind("x"), filtered_too=True) == []
