"""What nobody uses is found, of each kind, beside something that is used; `scripts/check` looks at this checkout."""

from collections.abc import Callable
from pathlib import Path

import pytest
from checks.unused import Finding, Source, excused, findings

LISTS = {
    "tables": ["src/exai/routing/faults.py"],
    "callers": ["src/exai/dashboard/page/**/*.js", "tests/*.py"],
}
Plant = Callable[..., list[tuple[str, str]]]


@pytest.fixture
def found(tmp_path: Path) -> Plant:
    """Writes files of a checkout, and returns what is found of a kind: place and name."""

    def planted(kind: str, **texts: str) -> list[tuple[str, str]]:
        (tmp_path / "src" / "exai").mkdir(parents=True)
        for name, text in texts.items():
            path = tmp_path / PLACES[name]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        seen = findings(Source(tmp_path), LISTS)
        return sorted((each.place, each.name) for each in seen if each.kind == kind)

    return planted


PLACES = {
    "settings": "src/exai/config/settings.py",
    "errors": "src/exai/errors.py",
    "faults": "src/exai/routing/faults.py",
    "events": "src/exai/events/events.py",
    "metrics": "src/exai/monitoring/call_metrics.py",
    "routes": "src/exai/dashboard/routes.py",
    "code": "src/exai/code.py",
    "page": "src/exai/dashboard/page/main.js",
    "part": "src/exai/dashboard/page/parts/part.js",
    "test": "tests/test_code.py",
}


def test_code_that_only_a_test_calls(found: Plant) -> None:
    code = "def used(): ...\n\ndef tested(): ...\n\nused()\n"
    test = "from exai.code import tested\n\ntested()\n"
    assert found("code", code=code, test=test) == [(PLACES["code"], "tested")]


def test_a_setting_that_no_code_reads(found: Plant) -> None:
    settings = "class Timeouts(Section):\n    call_s: float = 1.0\n    idle_s: float = 2.0\n"
    code = "def wait(timeouts, idle_s):\n    timeouts.idle_s = idle_s\n    return timeouts.call_s\n"
    assert found("setting", settings=settings, code=code) == [(PLACES["settings"], "Timeouts.idle_s")]


def test_a_metric_that_nothing_sets(found: Plant) -> None:
    metrics = (
        "class M:\n"
        "    def __init__(self, metrics):\n"
        '        self._calls = metrics.counter("calls", "x")[()]\n'
        '        self._idle = metrics.gauge("idle", "x", "door")\n'
        '        metrics.histogram("seconds", "x", buckets=(1,))\n'
        "    def count(self):\n"
        "        self._calls.inc()\n"
    )
    assert found("metric", metrics=metrics) == [(PLACES["metrics"], "idle"), (PLACES["metrics"], "seconds")]


def test_an_event_that_nobody_publishes_or_takes(found: Plant) -> None:
    events = "".join(
        f"class {name}({base}): ...\n"
        for name, base in (
            ("Event", "Struct"),
            ("Used", "Event"),
            ("Matched", "Event"),
            ("Silent", "Event"),
            ("Unheard", "Event"),
        )
    )
    code = (
        "bus.publish(Used(1))\nbus.publish(Matched())\nbus.publish(Unheard())\n"
        "bus.watch(note, Used)\nKINDS = (Matched, Silent)\ndef note(event: Unheard) -> None: ...\n"
    )
    assert found("event", events=events, code=code) == [
        (PLACES["events"], "Silent (nobody publishes it)"),
        (PLACES["events"], "Unheard (nobody takes it)"),
    ]


def test_an_error_that_is_only_caught_and_tabled(found: Plant) -> None:
    errors = (
        'class ExaiError(Exception):\n    code = "error"\n'
        'class Fault(ExaiError):\n    code = "fault"\n'
        'class Raised(Fault):\n    code = "raised"\n'
        'class Mapped(Fault):\n    code = "mapped"\n'
        'class Caught(Fault):\n    code = "caught"\n'
    )
    faults = "RULES = {Raised: 1, Mapped: 2, Caught: 3}\n"
    code = (
        "BY_STATUS = {429: Mapped}\n"
        "def ask() -> Caught:\n"
        "    try:\n        raise Raised\n"
        "    except Caught as error:\n        return isinstance(error, Caught)\n"
    )
    assert found("error", errors=errors, faults=faults, code=code) == [(PLACES["errors"], "Caught")]


def test_a_route_that_no_page_and_no_test_asks(found: Plant) -> None:
    routes = (
        "ROWS = [\n"
        '    Route(READ, "/api/calls", one),\n'
        '    Route(READ, "/api/calls/{call_id}", one),\n'
        '    Route(READ, "/api/calls/{call_id}/spans", one),\n'
        '    Route(READ, "/api/cal", one),\n'
        "]\n"
    )
    page = "const told = get(`/api/calls/${call}`);\n"
    test = 'ask("/api/calls?q=tool:chat")\n'
    assert found("route", routes=routes, page=page, test=test) == [
        (PLACES["routes"], "/api/cal"),
        (PLACES["routes"], "/api/calls/{call_id}/spans"),
    ]


def test_what_a_module_of_the_page_exports_for_itself(found: Plant) -> None:
    part = "export const USED = 1;\nexport function own() {}\nexport async function gone() {}\nown();\n"
    page = 'import { USED } from "./parts/part.js";\nUSED;\n'
    assert found("export", part=part, page=page) == [(PLACES["part"], "gone"), (PLACES["part"], "own")]


def test_an_excuse_is_of_a_kind_a_place_and_names_and_must_be_needed() -> None:
    row = {"kind": "code", "place": "src/*/versions/*.py", "name": "down_* impl", "why": "read by name"}
    one = Finding("code", "src/exai/versions/0001.py", "down_revision")
    assert list(excused([one], [row])) == []
    assert [*excused([Finding("code", "src/exai/a.py", "impl")], [])] == [
        "src/exai/a.py: the code impl is used nowhere"
    ]
    assert [*excused([], [row])] == [
        "checks/unused.toml excuses code src/*/versions/*.py: down_* impl, which is used or gone"
    ]
    other = Finding("setting", one.place, one.name)
    assert len([*excused([one, other], [row])]) == 1
