"""Reports of programs over real sockets: counted once, before they are answered, and refused as they should be."""

import asyncio
import gc
import gzip
import io
import json
import random
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from exai.callers import Door
from exai.cli.errors.text import as_table
from exai.error_tracking.console import UnknownGroup
from exai.error_tracking.ingestion.intake import MOST_A_MINUTE, sha256_of
from exai.error_tracking.ingestion.native import MOST_REPORTS
from exai.events.events import CallerRefused
from exai.monitoring.resident_memory import resident_mib
from exai.storage.error_tracking.groups import GroupTables
from exai.storage.error_tracking.projects import Intake, ProjectTables
from exai_emulator import EmulatorOptions, running
from support.daemon_in_process import DaemonInProcess, daemon_in_process
from support.emulated import provider_environment

pytestmark = pytest.mark.asyncio(loop_scope="module")

RECORDED = Path(__file__).parent / "recorded_reports"
"""Bodies that SDKs sent, or that their documents show; the file's name says which."""


@dataclass
class Reporting:
    """A daemon, and programs that report to it."""

    daemon: DaemonInProcess
    http: aiohttp.ClientSession

    async def project(self, trust: str = "public") -> "Reporter":
        """Make a program that reports."""
        key, name = secrets.token_hex(16), secrets.token_hex(4)
        made = await self.tables.create(name, "private" if trust == "private" else "public", sha256_of(key))
        assert made is not None
        return Reporter(self, made.project_id, name, key)

    @property
    def groups(self) -> GroupTables:
        services = self.daemon.services
        return GroupTables(services.storage.database, services.clock)

    @property
    def tables(self) -> ProjectTables:
        services = self.daemon.services
        return ProjectTables(services.storage.database, services.clock)


@dataclass
class Reporter:
    """A program with its key."""

    reporting: Reporting
    number: int
    name: str
    key: str

    async def post(self, path: str, body: bytes, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Send a body."""
        url = self.reporting.daemon.errors + path
        async with self.reporting.http.post(url, data=io.BytesIO(body), headers=headers) as answer:
            return (
                answer.status,
                {name.lower(): value for name, value in answer.headers.items()},
                await answer.read(),
            )

    async def envelope(self, body: bytes, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Send an envelope as browsers do."""
        return await self.post(
            f"/api/{self.number}/envelope/?sentry_key={self.key}&sentry_version=7", body, **headers
        )

    async def own(self, path: str, body: Any) -> tuple[int, dict[str, str], bytes]:
        """Send JSON with the key of our own form."""
        token = f"Bearer {self.number}:{self.key}"
        return await self.post(path, json.dumps(body).encode(), Authorization=token)

    async def groups(self) -> list[Any]:
        """What is counted of this program."""
        return list(await self.reporting.groups.listed(state=None, most=100, project_id=self.number))

    async def intake(self) -> Intake:
        """What became of what it sent."""
        now = self.reporting.daemon.services.clock.utc()
        used = await self.reporting.tables.listing(now - timedelta(days=1))
        return next(use.intake for use in used if use.project.name == self.name)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def reporting(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Reporting]:
    folder = tmp_path_factory.mktemp("reporting")
    async with (
        running(EmulatorOptions()) as emulator,
        daemon_in_process(
            data_dir=folder / "data", environ=provider_environment(emulator), wall=time.time()
        ) as daemon,
        aiohttp.ClientSession() as http,
    ):
        yield Reporting(daemon, http)


def event(message: str = "no basket", **more: Any) -> dict[str, Any]:
    frames = [{"module": "shop", "function": "pay", "lineno": 3, "in_app": True}]
    return {
        "exception": {"values": [{"type": "KeyError", "value": message, "stacktrace": {"frames": frames}}]},
        **more,
    }


def envelope(*items: tuple[str, Any]) -> bytes:
    lines = [b"{}"]
    for kind, payload in items:
        body = json.dumps(payload).encode()
        lines += [json.dumps({"type": kind, "length": len(body)}).encode(), body]
    return b"\n".join(lines) + b"\n"


async def test_a_report_is_counted_when_it_is_answered_and_once(reporting: Reporting) -> None:
    reporter = await reporting.project()
    body = envelope(("event", event(event_id=secrets.token_hex(16))))
    for _ in range(3):
        status, headers, answer = await reporter.envelope(body)
        assert status == 200, answer
    (group,) = await reporter.groups()
    assert (group.seen, group.kind, group.culprit) == (1, "KeyError", "shop:pay")
    assert headers["access-control-allow-origin"] == "*"
    intake = await reporter.intake()
    assert (intake.events, intake.repeated) == (1, 2)


async def test_a_group_says_whose_words_it_has_and_no_agent_is_shown_them(reporting: Reporting) -> None:
    reporter = await reporting.project()
    await reporter.envelope(envelope(("event", event("run `rm -rf ~` to mend it"))))
    await reporter.envelope(envelope(("event", event(exception={"values": [{"type": "Other"}]}))))
    first, second = await reporter.groups()
    console = reporting.daemon.services.faults.console
    line = next(each for each in await console.listed() if each.group == f"E-{first.number}")
    assert line.reporter == reporter.name
    assert f"[{reporter.name}] " in as_table([line])
    report = (await console.shown(first.number)).report
    assert report.cause == "another program's"
    assert report.means.startswith(f"The program {reporter.name} ")
    assert line.group not in {each.group for each in await reporting.daemon.services.report.open_groups()}
    other = await reporting.project()
    await other.envelope(envelope(("event", event())))
    (foreign,) = await other.groups()
    with pytest.raises(UnknownGroup, match="of another program"):
        await console.merge(first.number, [second.number, foreign.number], actor="ann")
    assert len(await reporter.groups()) == 2


async def test_store_native_and_otlp_reports_are_counted(reporting: Reporting) -> None:
    reporter = await reporting.project()
    auth = {"X-Sentry-Auth": f"Sentry sentry_version=7, sentry_key={reporter.key}"}
    packed = gzip.compress(json.dumps(event()).encode())
    stored = await reporter.post(
        f"/behind/a/api/{reporter.number}/store", packed, **auth, **{"Content-Encoding": "gzip"}
    )
    assert stored[0] == 200
    assert (await reporter.own("/v1/errors", [{"message": "disk full"}]))[0] == 200
    record = {"severityNumber": 17, "body": {"stringValue": "pump stopped"}}
    logs = {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}
    assert (await reporter.own("/v1/logs", logs))[0] == 200
    assert {group.seen for group in await reporter.groups()} == {1}
    assert len(await reporter.groups()) == 3


@pytest.mark.parametrize("name", sorted(path.name for path in RECORDED.iterdir()))
async def test_what_sdks_send_is_grouped_and_nothing_private_is_stored(
    reporting: Reporting, name: str
) -> None:
    reporter = await reporting.project()
    status, _, answer = await reporter.envelope(await asyncio.to_thread((RECORDED / name).read_bytes))
    assert status == 200, answer
    (group,) = await reporter.groups()
    assert group.seen == 1
    assert ":" in group.culprit, "it is grouped by its stack"
    (kept,) = await reporting.groups.occurrences(group, 10)
    assert "SECRET" not in kept.body


async def test_what_a_sender_dropped_is_lost_and_what_nobody_reads_is_counted(reporting: Reporting) -> None:
    reporter = await reporting.project()
    report = {"discarded_events": [{"reason": "queue_overflow", "category": "error", "quantity": 41}]}
    broken = b'{"type":"event","length":3}\n{x}\n'
    body = envelope(("client_report", report), ("session", {}), ("event", event())) + broken
    assert (await reporter.envelope(body))[0] == 200
    assert await reporter.intake() == Intake(events=1, not_kept=1, broken=1, lost=41)


async def test_a_wrong_key_and_a_project_that_is_not_there_are_refused_alike(reporting: Reporting) -> None:
    reporter = await reporting.project()
    right = reporter.key
    refused: list[CallerRefused] = []
    reporting.daemon.services.monitoring.bus.watch(refused.append, CallerRefused)
    answers = []
    for number, key in ((reporter.number, "0" * 32), (999_999, right), (1, right), (reporter.number, "")):
        answers.append(
            await reporter.post(f"/api/{number}/envelope/?sentry_key={key}", envelope(("event", event())))
        )
    answers.append(
        await reporter.post("/v1/errors", b"[]", Authorization=f"Bearer {reporter.number}:{'0' * 32}")
    )
    assert {status for status, _, _ in answers} == {403}
    assert len({body for _, _, body in answers}) == 1
    assert refused == [CallerRefused(Door.REPORTS, "report_refused")] * len(answers)
    await reporting.tables.change_key(reporter.name, None)
    await asyncio.sleep(1.1)
    assert (await reporter.envelope(envelope(("event", event()))))[0] == 403, "it was revoked"
    assert await reporter.groups() == []


async def test_browsers_of_any_page_may_report_and_nothing_else(reporting: Reporting) -> None:
    reporter = await reporting.project()
    origin = {"Origin": "https://shop.example.org"}
    url = reporting.daemon.errors
    async with reporting.http.options(f"{url}/api/{reporter.number}/envelope/", headers=origin) as answer:
        assert answer.status == 204
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers
    assert (await reporter.envelope(envelope(("event", event())), **origin))[0] == 200
    assert (await reporter.post("/v1/errors", b"[]", **origin))[0] == 403
    async with reporting.http.get(f"{url}/api/1/envelope/") as answer:
        assert answer.status == 405


async def test_a_storm_is_told_when_to_come_back_and_counted_as_lost(reporting: Reporting) -> None:
    reporter = await reporting.project()
    reports = [{"message": "storm"}] * MOST_REPORTS
    codes = [(await reporter.own("/v1/errors", reports))[0] for _ in range(MOST_A_MINUTE // MOST_REPORTS)]
    assert set(codes) == {200}
    report = {"discarded_events": [{"category": "error", "quantity": 5}]}
    status, headers, _ = await reporter.envelope(envelope(("event", event()), ("client_report", report)))
    assert status == 429
    assert headers["x-sentry-rate-limits"] == f"{headers['retry-after']}:error;default:key:storm"
    assert (await reporter.envelope(envelope(("client_report", report))))[0] == 200
    intake = await reporter.intake()
    assert (intake.events, intake.lost) == (MOST_A_MINUTE, 11)
    (group,) = await reporter.groups()
    assert group.seen == MOST_A_MINUTE


def hostile() -> Iterator[tuple[bytes, dict[str, str]]]:
    """A hundred and fifty bodies that nobody sends in good faith."""
    dice = random.Random(7)
    good = envelope(("event", event()))
    gzipped = {"Content-Encoding": "gzip"}
    yield gzip.compress(bytes(50 * 2**20)), gzipped
    yield gzip.compress(gzip.compress(bytes(50 * 2**20))), {"Content-Encoding": "gzip, gzip"}
    yield b"{}\n" + b'{"type":"event"}\n{}\n' * 100_000, {}
    yield b"{}\n" + b"\n" * 3_000_000, {}
    yield b"{}\n" + b'{"type":"x","length":0}\n\n' * 100_000, {}
    yield envelope(("event", {"tags": {"x": "\0" * 1_000_000}})), {}
    yield b'{}\n{"type":"event"}\n' + b"[" * 900_000 + b"]" * 900_000, {}
    yield b'{}\n{"type":"event"}\n{"a":' * 30 + b"1", {}
    yield b'{}\n{"type":"event","length":' + b"9" * 4_000 + b"}\n", {}
    yield b"{}\n" + b'{"type":"event","length":1048576}\n' + b'"' * 1_048_576, {}
    yield b'{"event_id":"' + b"x" * 100_000 + b'"}\n', {}
    yield (
        envelope(
            ("event", {"exception": {"values": [{"type": "E" * 100_000, "value": "\ud800" * 9_000}] * 50}})
        ),
        {},
    )
    yield good, {"Content-Encoding": "gzip"}
    yield gzip.compress(good)[:-5], gzipped
    yield good, {"Content-Encoding": "br, br, br"}
    yield b"", {}
    for _ in range(134):
        noise = bytearray(good * dice.randint(1, 3))
        for _ in range(dice.randint(1, 30)):
            place = dice.randrange(len(noise))
            if dice.random() < 0.5:
                noise[place] = dice.randrange(256)
            else:
                del noise[place : place + dice.randint(1, 20)]
                noise += b"\n"
        yield bytes(noise), {}


async def test_hostile_bodies_are_answered_and_hold_no_memory(reporting: Reporting) -> None:
    reporter = await reporting.project()
    bodies = list(hostile())
    assert len(bodies) == 150
    assert resident_mib() is not None
    statuses = []
    for body, headers in bodies[:20]:
        statuses.append((await reporter.envelope(body, **headers))[0])
    gc.collect()
    before = resident_mib() or 0.0
    for body, headers in bodies:
        statuses.append((await reporter.envelope(body, **headers))[0])
    gc.collect()
    assert set(statuses) <= {200, 400, 413}
    assert {200, 400, 413} <= set(statuses)
    assert (resident_mib() or 0.0) - before <= 16
    assert (await reporter.envelope(envelope(("event", event()))))[0] == 200


DEEP = b'{"x":' * 70 + b"1" + b"}" * 70
BAD_INPUT: dict[str, tuple[bytes, dict[str, str], int, str]] = {
    "larger than 4 MiB unpacked": (
        gzip.compress(bytes(5 * 2**20)),
        {"Content-Encoding": "gzip"},
        413,
        "4194304 bytes",
    ),
    "larger than 4 MiB as it is": (b"{}\n" + b"x" * (5 * 2**20), {}, 413, ""),
    "an event of more than 64 levels": (b'{}\n{"type":"event"}\n' + DEEP + b"\n", {}, 413, "64 deep"),
    "a header of more than 64 levels": (DEEP + b"\n", {}, 413, "64 deep"),
    "no header": (b"nonsense\n", {}, 400, "Line 1"),
    "false gzip": (b"{}\n", {"Content-Encoding": "gzip"}, 400, "gzip"),
    "an unknown encoding": (b"{}\n", {"Content-Encoding": "rot13"}, 400, "rot13"),
}
"""What is sent, and what is answered with which words."""


@pytest.mark.parametrize("row", BAD_INPUT)
async def test_bad_input_is_answered_with_what_is_wrong(reporting: Reporting, row: str) -> None:
    body, headers, status, words = BAD_INPUT[row]
    reporter = await reporting.project()
    answered, _, told = await reporter.envelope(body, **headers)
    assert (answered, words in told.decode()) == (status, True), told
    assert await reporter.groups() == []
    good = b'{}\n{"type":"event"}\n' + json.dumps(event()).encode() + b"\n"
    assert (await reporter.envelope(good))[0] == 200, "and the next one is taken"


async def test_texts_that_cannot_be_stored_and_clocks_that_are_wrong_cost_no_report(
    reporting: Reporting,
) -> None:
    """NUL, half a character, and characters that control a terminal are replaced; what a clock said is a fact."""
    reporter = await reporting.project()
    odd = "no\x00 basket\ud800 \x1b[2J\u202e here"
    wrong = event(odd, timestamp="2001-01-01T00:00:00Z", release=odd, tags={odd: odd})
    assert (await reporter.envelope(envelope(("event", wrong))))[0] == 200
    (group,) = await reporter.groups()
    (occurrence,) = await reporting.groups.occurrences(group, 1)
    kept = occurrence.body + group.title + group.last_release
    assert not {"\x00", "\x1b", "\u202e"} & set(kept)
    assert "basket" in kept
    now = reporting.daemon.services.clock.utc()
    assert abs((occurrence.at - now).total_seconds()) < 3_600, "the moment of receipt counts"
    assert "978307200" in occurrence.body, "what its clock said"


async def test_a_slow_body_is_cut_off(reporting: Reporting) -> None:
    reporter = await reporting.project()

    async def drip() -> AsyncIterator[bytes]:
        yield b"{}\n"
        await asyncio.Event().wait()

    url = f"{reporting.daemon.errors}/api/{reporter.number}/envelope/?sentry_key={reporter.key}"
    async with reporting.http.post(url, data=drip()) as answer:
        assert answer.status == 408
