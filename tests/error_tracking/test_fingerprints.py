"""By what faults are grouped: rule 1, frozen."""

import itertools
import json
from pathlib import Path

import pytest
from msgspec import structs

from exai.error_tracking.faults import Fault, FaultSource, RaisedException
from exai.error_tracking.fingerprints import FACTS_BY_CODE, RULE, fingerprint, message_template
from support.grouped_faults import APART, TOGETHER, coded, frames, line_of_log, raised, thrown

GOLDEN = Path(__file__).with_name("rule_1.json")
EXAMPLES = [
    (f"{kind}: {name} ({side})", fault)
    for kind, pairs in (("one", TOGETHER), ("two", APART))
    for name, *faults in pairs
    for side, fault in zip("ab", faults, strict=True)
]


@pytest.mark.parametrize(
    ("one", "other"), [pair[1:] for pair in TOGETHER], ids=[pair[0] for pair in TOGETHER]
)
def test_what_is_one_fault_has_one_fingerprint(one: Fault, other: Fault) -> None:
    assert fingerprint(one).hash == fingerprint(other).hash


@pytest.mark.parametrize(("one", "other"), [pair[1:] for pair in APART], ids=[pair[0] for pair in APART])
def test_what_are_two_faults_have_two(one: Fault, other: Fault) -> None:
    assert fingerprint(one).hash != fingerprint(other).hash


def test_the_rule_is_frozen_by_its_examples() -> None:
    """A change of this file's hashes needs a rule with another number, which is asked beside this one."""
    made = {name: [fingerprint(fault).line, fingerprint(fault).hash] for name, fault in EXAMPLES}
    assert RULE == 1
    assert made == json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_a_reporter_says_by_what_and_may_ask_for_the_default() -> None:
    plain = thrown(raised("ValueError", "x"))
    in_europe = structs.replace(plain, reported_fingerprint=("{{default}}", "eu"))
    elsewhere = structs.replace(in_europe, chain=(raised("ValueError", "x", "exai.b:g"),))
    alone = structs.replace(plain, reported_fingerprint=("eu",))
    hashes = [fingerprint(each).hash for each in (plain, in_europe, elsewhere, alone)]
    assert len(set(hashes)) == 4
    assert fingerprint(alone).hash == fingerprint(structs.replace(alone, chain=())).hash


def test_text_without_utf8_is_hashed() -> None:
    assert fingerprint(line_of_log("broken \ud800")).parts[1] == "broken ?"


@pytest.mark.parametrize("code", sorted(FACTS_BY_CODE))
def test_the_message_stands_for_a_fact_that_is_not_known(code: str) -> None:
    assert fingerprint(coded(code, "`a` is wrong")).hash != fingerprint(coded(code, "`b` is wrong")).hash


MESSAGES = (
    "user {} was not found",
    "cannot read {} of the request",
    "{} was refused twice",
    "sent {} and got nothing",
    "gave up on {}.",
    "worker lost {} while it waited",
    "after {}, not now",
    "retry of {} is of no use",
)
VALUES = (
    ("ann@example.org", "bob.b@mail.example.com"),
    ("https://a.example/x?y=1", "http://127.0.0.1:80/"),
    ("2026-11-28", "2025-01-02T03:04:05.678Z"),
    ("12:03:55", "7:15"),
    ("6f1c7f0e-2f6b-4b1d-9a5c-0d8a4c1e9f11", "00000000-0000-4000-8000-000000000000"),
    ("call_019a2b3c4d5", "inc_00ff11aa22bb"),
    ("127.0.0.1", "10.1.2.3:8079"),
    ("fe80::1", "2001:db8::8a2e:370:7334"),
    ("0x7f00c0de", "0xdeadbeef"),
    ("deadbee1", "0123456789abcdef0123456789abcdef01234567"),
    ("/srv/data/a.db", "/home/ann/projects/b.py"),
    ("src/exai/app/x.py", "tests/a/b.py"),
    ("12.5 ms", "900 s"),
    ("10 KiB", "4 MB"),
    ("7", "1,000"),
    ("-3", "+12.75"),
    ("'two words'", "'another thing'"),
    ('"a b 1"', '"c d"'),
    ("'a1b2c3d4e5'", "'ffff0000aa'"),
    ("'user12345'", "'user99999'"),
)
KEPT = (
    ("HTTP 404", "HTTP 503"),
    ("status 1", "status 2"),
    ("errno 5", "errno 28"),
    ("exit code 1", "exit code 137"),
    ("code=4001", "code=4003"),
    ("SQLSTATE 23505", "SQLSTATE 40001"),
    ("signal 9", "signal SIGSEGV"),
    ("'name'", "'owner'"),
    ("`data_dir`", "`server.port`"),
    ("glm-4.6", "glm-5.3"),
    ("kimi-k3", "kimi-k2"),
    ("glm/glm-5.3", "kimi/kimi-k3"),
)


@pytest.mark.parametrize(("message", "values"), list(itertools.product(MESSAGES, VALUES)))
def test_a_variable_part_makes_no_further_group(message: str, values: tuple[str, str]) -> None:
    one, other = (fingerprint(line_of_log(message.format(value))) for value in values)
    assert one.hash == other.hash, (one.parts, other.parts)


@pytest.mark.parametrize(("message", "values"), list(itertools.product(MESSAGES, KEPT)))
def test_what_tells_faults_apart_is_kept(message: str, values: tuple[str, str]) -> None:
    one, other = (fingerprint(line_of_log(message.format(value))) for value in values)
    assert one.hash != other.hash, one.parts


def test_the_source_knows_its_template_best() -> None:
    one, other = (
        Fault(
            occurrence_id="o", at=0.0, source=FaultSource.OUTSIDE, message=f"{name} left", template="%s left"
        )
        for name in ("ann", "bob")
    )
    assert message_template(one) == "%s left"
    assert fingerprint(one).hash == fingerprint(other).hash


def test_frames_of_libraries_decide_where_no_frame_is_ours() -> None:
    def of(function: str) -> Fault:
        return thrown(RaisedException("KeyError", "'x'", frames=frames(function, own=False)))

    assert fingerprint(of("lib.a:f")).hash != fingerprint(of("lib.b:f")).hash
    assert fingerprint(of("lib.a:f")).line == "message"


def test_ten_thousand_different_faults_stay_different() -> None:
    places = itertools.product(range(10), range(20), range(50))
    hashes = {fingerprint(thrown(raised(f"E{a}", "x", f"exai.m{b}:f{c}"))).hash for a, b, c in places}
    assert len(hashes) == 10_000
