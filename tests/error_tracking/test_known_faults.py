"""What is known of each code, and the report that needs no model."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

import exai
from exai.config.tree import find
from exai.error_tracking.known_faults import known_faults
from exai.error_tracking.recovery import CALL_LOST
from exai.error_tracking.reports import Report, Shared, report_on
from exai.errors import ExaiError
from exai.storage.error_tracking.comparison import GoodCalls, _Kind
from exai.storage.error_tracking.rows import GroupRow
from exai.storage.error_tracking.sample_table import SampleRow

SETTING = re.compile(r"`([a-z]+(?:\.[a-z_]+)+)`")
NOW = datetime(2026, 11, 30, tzinfo=UTC)


def _codes(kind: type[ExaiError]) -> Iterator[str]:
    for below in kind.__subclasses__():
        if below.__module__.startswith("exai."):
            yield below.code
        yield from _codes(below)


def test_every_code_of_an_error_is_known_and_no_other() -> None:
    for module in pkgutil.walk_packages(exai.__path__, "exai."):
        if not {"__main__", "migrations"} & set(module.name.split(".")):
            importlib.import_module(module.name)
    assert set(known_faults()) == {*_codes(ExaiError), CALL_LOST}


def test_every_setting_that_is_named_exists() -> None:
    named = {
        setting
        for entry in known_faults().values()
        for text in (entry.means, entry.look_at, entry.fix)
        for setting in SETTING.findall(text)
    }
    assert named
    assert {setting for setting in named if find(setting) is None} == {"auth.issuers"}


def group(**changed: Any) -> GroupRow:
    values: dict[str, Any] = dict.fromkeys(GroupRow.__struct_fields__)
    values |= {
        "group_id": "grp_1",
        "number": 1,
        "title": "t",
        "kind": "KeyError",
        "culprit": "exai.a:f",
        "state": "open",
        "seen": 10,
        "handled": 0,
        "callers": 2,
        "first_release": "1.1.0+abc",
        "fixable_by": "developer",
    }
    return GroupRow(**values | changed)


def good(*kinds: tuple[str, str, int]) -> GoodCalls:
    return GoodCalls(
        tuple(
            _Kind("chat", provider, model, "http", "cursor", "1.1.0", number)
            for provider, model, number in kinds
        )
    )


def reported(row: GroupRow, *bodies: dict[str, Any], calls: GoodCalls | None = None) -> Report:
    return report_on(row, bodies, calls or GoodCalls(), earlier_release="1.0.0")


FRAME = {"module": "exai.b", "function": "g", "line": 7, "own": True}


def test_a_fault_of_ours_is_placed_where_it_was_raised() -> None:
    report = reported(group(), {"chain": [{"frames": [FRAME]}]})
    assert (report.cause, report.place) == ("ours", "exai.b:g, line 7")
    assert report.since == "release 1.1.0, commit abc; 1.0.0 ran without it"


def test_a_fault_of_the_setup_names_its_setting() -> None:
    report = reported(
        group(code="cannot_start", fixable_by="operator"), {"facts": {"setting": "server.port"}, "chain": []}
    )
    assert (report.cause, report.place) == ("set-up", "setting server.port")


@pytest.mark.parametrize(
    ("calls", "told"),
    [
        (good(("glm", "glm-5.3", 3)), "it passes"),
        (good(("glm", "glm-4.6", 3)), "it is this model"),
        (good(("kimi", "kimi-k3", 3)), "an outage of glm"),
        (GoodCalls(), "this machine's network"),
    ],
)
def test_a_fault_of_a_provider_is_told_apart_by_what_else_was_answered(calls: GoodCalls, told: str) -> None:
    row = group(code="provider_unreachable", fixable_by="provider")
    report = reported(row, {"provider": "glm", "model": "glm-5.3", "chain": []}, calls=calls)
    assert (report.cause, report.place) == ("theirs", "glm/glm-5.3")
    assert told in report.observations[0]


@pytest.mark.parametrize(
    ("took_ms", "held_ms", "cause", "place"),
    [
        ("5000", 8_000.0, "ours", "event loop, held for 8,000 ms"),
        ("9000", 4_500.0, "ours", "event loop, held for 4,500 ms"),
        ("9000", 4_400.0, "caller's", "stage first_token_ms"),
        ("90", 60.0, "caller's", "stage first_token_ms"),
    ],
)
def test_a_call_whose_time_the_event_loop_took_is_ours(
    took_ms: str, held_ms: float, cause: str, place: str
) -> None:
    row = group(code="deadline_exceeded", fixable_by="caller")
    body = {"chain": [], "facts": {"stage": "first_token_ms", "took_ms": took_ms}}
    load = [SampleRow(NOW, "loop_lag_ms", 1.0, held_ms, 0.0), SampleRow(NOW, "tasks", 9_000.0, 9_000.0, 0.0)]
    report = report_on(row, [body], GoodCalls(), earlier_release=None, load=load)
    assert (report.cause, report.place) == (cause, place)
    other = report_on(
        group(), [{"chain": [{"frames": [FRAME]}]}], GoodCalls(), earlier_release=None, load=load
    )
    assert other.place == "exai.b:g, line 7", "what is no matter of time is where it was raised"


def test_what_failures_share_and_good_calls_do_not_is_named() -> None:
    bodies = [{"client": "old", "door": "http", "chain": []}] * 9 + [
        {"client": "new", "door": "http", "chain": []}
    ]
    report = reported(group(), *bodies, calls=good(("glm", "glm-5.3", 10)))
    assert report.shared == (Shared("client", "old", 0.9, 0.0),)


def test_what_nobody_foresaw_has_a_report_too() -> None:
    report = reported(group(code=None, fixable_by=None, first_release=""))
    assert (report.cause, report.place) == ("unknown", "exai.a:f")
    assert report.means
    assert report.fix
