"""Reports as faults: what a program says of its error is kept, what is private is not, and no more is believed."""

import json
from typing import Any

import msgspec
import pytest

from exai.error_tracking.faults import Fault
from exai.error_tracking.fingerprints import fingerprint
from exai.error_tracking.ingestion.bodies import ReportRefused, decoded
from exai.error_tracking.ingestion.native import MOST_REPORTS, faults_of_reports
from exai.error_tracking.ingestion.otlp_logs import faults_of_logs
from exai.error_tracking.ingestion.sentry_events import event_id_of, fault_of_event, lost_of_report
from exai.error_tracking.ingestion.stacks import frames_of
from exai.error_tracking.ingestion.texts import storable

NOW = 1_700_000_000.0
EVENT: dict[str, Any] = {
    "event_id": "9EC79C33-ec99-42ab-8353-589fcb2e04dc",
    "timestamp": "2023-11-14T22:13:00Z",
    "platform": "python",
    "level": "error",
    "release": "shop@1.2",
    "environment": "production",
    "server_name": "web-1",
    "tags": {"region": "eu"},
    "exception": {
        "values": [
            {
                "type": "KeyError",
                "module": "builtins",
                "value": "'basket'",
                "stacktrace": {
                    "frames": [
                        {
                            "module": "shop.baskets",
                            "function": "load",
                            "filename": "shop/baskets.py",
                            "lineno": 12,
                            "in_app": True,
                            "vars": {"password": "SECRET-VARS"},
                            "context_line": "SECRET-LINE",
                        }
                    ]
                },
            },
            {"type": "CheckoutError", "module": "shop.errors", "value": "no basket"},
        ]
    },
    "request": {"data": "SECRET-BODY", "cookies": "SECRET-COOKIE", "headers": {"x": "SECRET-HEADER"}},
    "user": {"ip_address": "SECRET-IP", "email": "SECRET-MAIL"},
    "extra": {"x": "SECRET-EXTRA"},
    "breadcrumbs": {"values": [{"message": "SECRET-CRUMB"}]},
    "contexts": {"trace": {"x": "SECRET-CONTEXT"}},
}


def test_an_event_becomes_a_fault() -> None:
    fault = fault_of_event(EVENT, 7, NOW)
    cause, effect = fault.chain
    assert (cause.type, cause.message, effect.type) == ("KeyError", "'basket'", "shop.errors.CheckoutError")
    (frame,) = cause.frames
    assert (frame.module, frame.function, frame.line, frame.own) == ("shop.baskets", "load", 12, True)
    assert (fault.project, fault.release, fault.event_id) == (
        7,
        "shop@1.2",
        "9ec79c33ec9942ab8353589fcb2e04dc",
    )
    assert fault.reported_at == NOW - 20
    assert fault.context["region"] == "eu"
    assert fingerprint(fault).line == "stack"


def test_nothing_private_is_kept() -> None:
    assert "SECRET" not in msgspec.json.encode(fault_of_event(EVENT, 7, NOW)).decode()


def test_a_clock_that_is_wrong_is_a_fact_and_no_moment() -> None:
    fault = fault_of_event({**EVENT, "timestamp": NOW - 100_000}, 7, NOW)
    assert (fault.at, fault.reported_at) == (NOW, None)
    assert fault.context["reporter's clock"] == "1699900000"


@pytest.mark.parametrize("value", [None, 1, "x", [], {}, [None], {"values": 3}, [[]], True, -1, 1e300])
@pytest.mark.parametrize("field", list(EVENT))
def test_whatever_a_field_is_the_rest_is_kept(field: str, value: Any) -> None:
    fault = fault_of_event({**EVENT, field: value}, 7, NOW)
    assert fault.project == 7
    assert fingerprint(fault).hash


def test_messages_have_their_template_and_a_fingerprint_of_their_own() -> None:
    event = {
        "logentry": {"message": "order %s failed", "formatted": "order 5 failed"},
        "fingerprint": ["mail"],
    }
    fault = fault_of_event(event, 7, NOW)
    assert (fault.message, fault.template, fault.reported_fingerprint) == (
        "order 5 failed",
        "order %s failed",
        ("mail",),
    )
    assert fault_of_event({"message": "plain"}, 7, NOW).message == "plain"
    assert fault_of_event({"message": {"formatted": "old form"}}, 7, NOW).message == "old form"


def test_bounds_of_an_event_hold() -> None:
    frames = [{"function": f"f{number}", "in_app": True} for number in range(400)]
    values = [{"type": f"E{number}", "stacktrace": {"frames": frames}} for number in range(9)]
    tags = [[f"tag{number}", "x" * 900] for number in range(90)]
    fault = fault_of_event({"exception": values, "tags": tags}, 7, NOW)
    assert [raised.type for raised in fault.chain] == ["E4", "E5", "E6", "E7", "E8"]
    assert len(fault.chain[0].frames) == 250
    assert len(fault.context) == 50
    assert max(map(len, fault.context.values())) == 200


@pytest.mark.parametrize("tail", ["?canary=1", "#canary", "?a=1#canary", ""])
def test_the_query_of_a_page_is_no_place(tail: str) -> None:
    address = f"https://shop.example/cart{tail}"
    frame = {"filename": address, "function": "pay", "lineno": 3, "in_app": True}
    event = {"exception": {"values": [{"type": "RangeError", "stacktrace": {"frames": [frame]}}]}}
    native = {"type": "RangeError", "frames": [{"file": address, "function": "pay", "line": 3, "own": True}]}
    stack = f"RangeError: no\n    at pay ({address}:3:9)"
    made = [
        fault_of_event(event, 7, NOW),
        *faults_of_reports([{"exceptions": [native]}], 7, NOW),
        *faults_of_reports([{"exceptions": [{"type": "RangeError", "stack": stack}]}], 7, NOW),
    ]
    for fault in made:
        (found,) = fault.chain[-1].frames
        assert (found.file, found.function, found.line) == ("https://shop.example/cart", "pay", 3)
        assert "canary" not in repr(msgspec.to_builtins(fault.chain))


def test_texts_can_be_stored_and_shown() -> None:
    assert storable("a\0b\x1b[31m\u202ec\ud800", 99) == "a\ufffdb\ufffd[31m\ufffdc?"
    assert storable("line\n\ttwo", 99) == "line\n\ttwo"
    odd: list[object] = [None, [], True, 5]
    assert [storable(value, 9) for value in odd] == ["", "", "", "5"]


def test_ids_are_those_of_the_protocol() -> None:
    assert event_id_of("9EC79C33EC9942AB8353589FCB2E04DC") == "9ec79c33ec9942ab8353589fcb2e04dc"
    assert [event_id_of(value) for value in (None, 5, "", "x" * 32, "9ec79c33")] == [None] * 5


def test_what_a_client_dropped_is_added_up() -> None:
    dropped = [
        {"reason": "queue_overflow", "category": "error", "quantity": 7},
        {"reason": "x", "category": "default", "quantity": 2},
        {"reason": "x", "category": "transaction", "quantity": 9},
        {"category": "error", "quantity": "8"},
        {"category": "error", "quantity": -8},
        {"category": ["error"], "quantity": 8},
        {"category": {}, "quantity": 8},
        None,
    ]
    assert lost_of_report({"discarded_events": dropped}) == 9
    assert lost_of_report({"discarded_events": [{"category": "error", "quantity": 2**70}] * 3}) == 10**9
    assert lost_of_report({"discarded_events": {}}) == 0


PYTHON_STACK = (
    'Traceback (most recent call last):\n  File "/srv/app/site-packages/web.py", line 3, in serve\n    run()\n'
    '  File "/srv/app/shop/pay.py", line 12, in charge\n    raise ValueError("x")\nValueError: x\n'
)
NODE_STACK = (
    "TypeError: x\n    at charge (/srv/app/pay.js:12:5)\n    at Module._compile (node:internal/modules:1:2)\n"
    "    at /srv/app/main.js:3:1"
)
FIREFOX_STACK = "charge@https://shop.example/pay.js:12:5\n@https://shop.example/main.js:3:1\n"


@pytest.mark.parametrize(
    ("stack", "functions", "own"),
    [
        (PYTHON_STACK, ["serve", "charge"], [False, True]),
        (NODE_STACK, ["", "Module._compile", "charge"], [True, False, True]),
        (FIREFOX_STACK, ["", "charge"], [True, True]),
        ("Exception in thread main\n\tat Main.java", [], []),
    ],
)
def test_stacks_are_taken_apart_from_the_outermost_call(
    stack: str, functions: list[str], own: list[bool]
) -> None:
    frames = frames_of(stack)
    assert [frame.function for frame in frames] == functions
    assert [frame.own for frame in frames] == own


def attribute(name: str, value: str) -> dict[str, Any]:
    return {"key": name, "value": {"stringValue": value}}


def export(*records: dict[str, Any]) -> dict[str, Any]:
    return {
        "resourceLogs": [
            {
                "resource": {
                    "attributes": [attribute("service.name", "shop"), attribute("service.version", "3")]
                },
                "scopeLogs": [{"scope": {"name": "shop.pay"}, "logRecords": list(records)}],
            }
        ]
    }


def test_log_records_of_errors_are_faults_and_others_are_counted() -> None:
    raised = {
        "timeUnixNano": str(int((NOW - 5) * 1e9)),
        "severityNumber": 9,
        "attributes": [
            attribute("exception.type", "ValueError"),
            attribute("exception.message", "x"),
            attribute("exception.stacktrace", PYTHON_STACK),
            attribute("user.password", "SECRET"),
        ],
    }
    logged = {"severityNumber": 17, "body": {"stringValue": "disk full"}}
    faults, others = faults_of_logs(export(raised, logged, {"severityNumber": 9}, {}), 7, NOW)
    assert others == 2
    first, second = faults
    assert (first.chain[0].type, len(first.chain[0].frames), first.reported_at) == ("ValueError", 2, NOW - 5)
    assert (first.release, first.logger, first.context["service.name"]) == ("3", "shop.pay", "shop")
    assert (second.message, second.chain) == ("disk full", ())
    assert "SECRET" not in msgspec.json.encode(first).decode()


@pytest.mark.parametrize("body", [None, [], {}, {"resourceLogs": {}}])
def test_what_is_no_export_is_refused(body: Any) -> None:
    with pytest.raises(ReportRefused):
        faults_of_logs(body, 7, NOW)


@pytest.mark.parametrize("part", [None, 3, "x", [3], [None], {}])
def test_odd_parts_of_an_export_are_passed_over(part: Any) -> None:
    body = export()
    body["resourceLogs"][0]["scopeLogs"].append({"scope": part, "logRecords": part})
    body["resourceLogs"].append({"resource": part, "scopeLogs": part})
    assert faults_of_logs(body, 7, NOW) == ([], 0)


def test_reports_of_our_own_form() -> None:
    body = [
        {
            "exceptions": [{"type": "ValueError", "message": "x", "stack": PYTHON_STACK}],
            "event_id": "order-7",
            "tags": {"region": "eu"},
            "at": NOW - 1,
        },
        {"message": "disk full", "template": "disk %s", "logger": "backup", "fingerprint": ["disk"]},
    ]
    first, second = faults_of_reports(body, 7, NOW)
    assert (first.chain[0].frames[-1].function, first.event_id, first.reported_at) == (
        "charge",
        "order-7",
        NOW - 1,
    )
    assert (second.message, second.template, second.logger) == ("disk full", "disk %s", "backup")


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        [1],
        [{"mesage": "x"}],
        [{"event_id": "a b"}],
        [{"message": "good"}, {"exceptions": [{"type": 3}]}],
        [{}] * (MOST_REPORTS + 1),
        ["\ud800"],
        [{"at": "\ud800"}],
        [{"tags": "\ud800"}],
        [{"exceptions": ["\ud800"]}],
        [{"exceptions": [{"type": "T", "frames": "\ud800"}]}],
    ],
)
def test_a_wrong_report_refuses_the_request(body: Any) -> None:
    with pytest.raises(ReportRefused):
        faults_of_reports(decoded(json.dumps(body).encode()), 7, NOW)


def test_the_same_error_of_two_projects_is_two_groups() -> None:
    one, other = (fault_of_event(EVENT, project, NOW) for project in (7, 8))
    assert fingerprint(one).hash != fingerprint(other).hash
    assert isinstance(one, Fault)
