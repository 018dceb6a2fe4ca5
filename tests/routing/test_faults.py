"""The table of faults: complete, and true to what an adapter, the breaker, retries and health are to make of each."""

import asyncio

import pytest

from exai import errors
from exai.errors import ProviderFault, ToolFault
from exai.routing.faults import CANCELLED, FAULTS, UNFORESEEN, Blame, RetryKind, Takeover, handling_of
from support.scripted import UNSENT

BASES = {ToolFault, ProviderFault}
"""Never raised themselves."""


def test_every_fault_has_its_row() -> None:
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ToolFault)}
    assert kinds - BASES == FAULTS.keys()


def test_every_way_of_handling_occurs() -> None:
    rows = FAULTS.values()
    assert {row.blames for row in rows} == set(Blame)
    assert {row.retry for row in rows} == {None, *RetryKind}
    assert {row.takeover for row in rows} == {None, *Takeover}


def test_a_request_that_was_not_sent_counts_not_for_health() -> None:
    unsent = [FAULTS[kind] for kind in UNSENT]
    assert all(
        row.blames is Blame.NOBODY and row.retry is None and not row.counts_for_health for row in unsent
    )


def test_what_is_made_again_is_the_providers_fault_or_our_rate() -> None:
    assert {row.blames for row in FAULTS.values() if row.retry} == {Blame.PROVIDER, Blame.RATE}


@pytest.mark.parametrize("kind", FAULTS, ids=lambda kind: kind.__name__)
def test_what_is_made_again_is_called_retryable(kind: type[ToolFault]) -> None:
    assert kind.retryable or FAULTS[kind].retry is None


def test_a_subclass_is_handled_by_its_own_row() -> None:
    assert handling_of(errors.ProviderSilent("x")).retry is None
    assert handling_of(errors.ProviderTimeout("x")).retry is RetryKind.TRANSPORT


def test_what_is_no_fault_has_a_row_too() -> None:
    assert handling_of(asyncio.CancelledError()) is CANCELLED
    assert handling_of(KeyError("x")) is UNFORESEEN
