"""Gathering evidence on real rows and real repositories: which pieces, in which order, and what is left out and why."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest

from exai.app.watching.sources import open_sources_of
from exai.config import Settings
from exai.error_tracking.faults import Fault, FaultFrame, FaultSource, RaisedException
from exai.error_tracking.fingerprints import fingerprint
from exai.error_tracking.investigation.bundle import EvidenceBundle, FurtherItem, Subject
from exai.error_tracking.investigation.gathering.gatherer import Gatherer, Remembered
from exai.error_tracking.investigation.gathering.sources import OpenSources, SourceReader, commit_names
from exai.error_tracking.investigation.prompting import report_prompt
from exai.error_tracking.noticing import FaultSeen
from exai.error_tracking.states import resolve
from exai.events.events import BreakerOpened
from exai.monitoring.minute_samples import Reading
from exai.monitoring.recent.lines import RecentLines
from exai.monitoring.recent.provider_events import RecentProviderEvents
from exai.monitoring.recent.seconds import RecentSeconds
from exai.runtime.clock import SystemClock
from exai.storage.database import Database
from exai.storage.error_tracking.projects import ProjectTables
from support.planted_secrets import BUILT_IN
from support.repositories import GitRepository
from support.tracked_faults import Tracked, tracked

CLOCK = SystemClock()
GOOD = "".join(f"line {number}\n" for number in range(1, 31)) + "total = sum(prices)\n"
BAD = GOOD.replace("sum(prices)", "sum(prices) / len(prices)")


class Desk:
    """A process with all that it remembers, and a gatherer on it."""

    def __init__(self, process: Tracked, open_sources: OpenSources, settings: Settings | None = None) -> None:
        self.process = process
        self.lines, self.seconds = RecentLines(), RecentSeconds()
        self.provider_events = RecentProviderEvents(CLOCK)
        self.provider_events.watch(process.bus)
        remembered = Remembered(self.lines, self.seconds, self.provider_events)
        self.gatherer = Gatherer(
            process.database, CLOCK, settings or Settings(), remembered, open_sources, within_s=30.0
        )

    async def subject(self) -> Subject:
        """The group that was counted last."""
        group = (await self.process.counted())[-1]
        (occurrence, *_) = await self.process.groups.occurrences(group, 1)
        return Subject(group, occurrence, occurrence.release)


@asynccontextmanager
async def no_sources(_: int) -> AsyncIterator[SourceReader | None]:
    yield None


def kinds(bundle: EvidenceBundle) -> list[str]:
    return [f"{each.evidence_id} {each.kind}" for each in bundle.pieces]


async def test_a_fault_of_our_own_has_all_that_rows_and_the_process_remember(database: Database) -> None:
    process = await tracked(database)
    desk = Desk(process, no_sources)
    now = CLOCK.wall()
    desk.lines.add(now - 400, "call_77 began")
    desk.lines.add(now, "breaker opened")
    desk.seconds.add(now, [Reading("loop_lag_ms", 412.0)])
    process.bus.publish(BreakerOpened("glm", "glm-5.3", "provider_throttled", 30.0, again=False))
    process.fail("an earlier one", KeyError, provider="glm", model="glm-5.3")
    (old,) = await process.counted()
    await process.groups.decide(
        old.number,
        lambda each: resolve(each, at=CLOCK.utc()),
        version=None,
        actor="lovelace",
        note="pool was too small",
    )
    process.fail(
        "of another kind hunter2hunter2", TypeError, call_id="call_77", subject="lovelace", provider="glm"
    )
    bundle = await desk.gatherer.gather(await desk.subject())
    texts = {each.kind: each.text for each in bundle.pieces}
    assert kinds(bundle) == [
        "e1 occurrence",
        "e3 alike",
        "e7 settings",
        "e8 provider",
        "e10 log",
        "e11 load",
    ]
    assert "TypeError: of another kind ********" in texts["occurrence"]
    assert "breaker of glm/glm-5.3 opened" in texts["provider"]
    assert texts["log"] == "call_77 began\nbreaker opened"
    assert "loop_lag_ms in that second: 412" in texts["load"]
    reasons = {each.kind: each.reason for each in bundle.left_out}
    assert reasons["call"] == "The journal has no such call: it asked no provider, or its row was pruned."
    assert "no frame of the project's own code" in reasons["source"]
    whole = msgspec.json.encode(bundle).decode()
    assert "lovelace" not in whole
    assert "hunter2" not in whole


async def test_groups_that_were_resolved_are_told_with_their_notes(database: Database) -> None:
    process = await tracked(database)
    desk = Desk(process, no_sources)
    for message in ("first", "second"):
        process.bus.publish(_seen(message, project=1, release="1.0.0", file="/x/exai/pool.py", line=3))
        await process.counted()
    older, newer = await process.counted()
    assert older.number != newer.number
    await process.groups.decide(
        older.number,
        lambda each: resolve(each, at=CLOCK.utc()),
        version=None,
        actor="lovelace",
        note="pool was small",
    )
    bundle = await desk.gatherer.gather(await desk.subject())
    (resolved,) = (each for each in bundle.pieces if each.kind == "resolved")
    assert resolved.evidence_id == "e12"
    assert "pool was small" in resolved.text


async def test_what_another_process_remembered_is_said_to_be_gone(database: Database) -> None:
    process = await tracked(database)
    desk = Desk(process, no_sources)
    process.fail("x")
    subject = await desk.subject()
    elsewhere = Subject(
        subject.group, msgspec.structs.replace(subject.occurrence, run_id="run_other"), subject.release
    )
    bundle = await desk.gatherer.gather(elsewhere)
    assert {each.kind: each.reason for each in bundle.left_out}["log"].startswith("Another process had it")


def _seen(message: str, *, project: int, release: str, file: str, line: int) -> FaultSeen:
    frame = FaultFrame("shop.cart", "total", file, line, own=True)
    fault = Fault(
        occurrence_id=f"occ_{uuid4().hex}",
        at=CLOCK.wall(),
        source=FaultSource.OUTSIDE if project > 1 else FaultSource.TASK,
        project=project,
        chain=(RaisedException(f"shop.{message.title().replace(' ', '')}", message, frames=(frame,)),),
        release=release,
    )
    return FaultSeen(fault, fingerprint(fault))


@pytest.fixture
async def shop(database: Database, tmp_path: Path) -> tuple[Desk, GitRepository, str, int]:
    """A program whose second release brought the error."""
    process = await tracked(database)
    projects = ProjectTables(database, CLOCK)
    project = await projects.create("shop", "private", "0" * 64)
    assert project is not None
    repository = GitRepository(tmp_path / "shop")
    repository.commit({"services/shop/cart.py": GOOD}, "begin")
    repository.repo.refs[b"refs/tags/1.0"] = repository.repo.head()
    broken = repository.commit({"services/shop/cart.py": BAD}, "show the mean price")
    repository.repo.refs[b"refs/tags/v1.1"] = repository.repo.head()
    repository.commit({"services/shop/cart.py": "all is new\n"}, "after the release")
    await projects.name_sources("shop", str(repository.folder), "services")
    process.bus.publish(
        _seen("other", project=project.project_id, release="shop@1.0", file="/app/shop/x.py", line=1)
    )
    await process.counted()
    process.bus.publish(
        _seen(
            "division by zero",
            project=project.project_id,
            release="shop@1.1",
            file="/app/shop/cart.py",
            line=31,
        )
    )
    return Desk(process, open_sources_of(projects, None)), repository, broken, project.project_id


async def test_sources_are_those_of_the_release_with_the_commit_that_broke_it(
    shop: tuple[Desk, GitRepository, str, int],
) -> None:
    desk, repository, broken, _ = shop
    subject = await desk.subject()
    bundle = await desk.gatherer.gather(subject)
    assert kinds(bundle) == ["e1 occurrence", "e3 alike", "e4 source", "e5 history", "e6 blame"]
    assert (bundle.repository, bundle.commit) == (str(repository.folder), broken)
    assert {each.provenance for each in bundle.pieces} == {"outside"}
    source, history, blame = bundle.pieces[2:]
    assert source.is_failing_place
    assert (source.path, source.first, source.commit) == ("services/shop/cart.py", 19, broken)
    assert source.text.splitlines()[31 - 19] == "total = sum(prices) / len(prices)"
    assert history.commit == blame.commit == broken
    assert "+total = sum(prices) / len(prices)" in history.text
    assert "at the place" in history.place
    assert "since release shop@1.0" in history.place


async def test_further_items_are_of_the_menu_alone(shop: tuple[Desk, GitRepository, str, int]) -> None:
    desk, _, broken, _ = shop
    subject = await desk.subject()
    bundle = await desk.gatherer.gather(subject)
    more = await desk.gatherer.gather_more(
        subject,
        bundle,
        [
            FurtherItem("source", "shop/cart.py:1-3"),
            FurtherItem("history", "services/shop/cart.py"),
            FurtherItem("blame", "shop/cart.py:1"),
            FurtherItem("change", broken[:12]),
            FurtherItem("source", "../../etc/passwd:1-3"),
            FurtherItem("setting", "providers.glm.api_key"),
            FurtherItem("occurrence", "1"),
        ],
    )
    added = more.pieces[len(bundle.pieces) :]
    assert [each.evidence_id for each in added] == ["e13", "e14", "e15", "e16", "e17"]
    assert added[0].text == "line 1\nline 2\nline 3"
    assert "begin" in added[1].text
    assert "show the mean price" in added[3].text
    assert added[4].text == "providers.glm.api_key has its default"
    refused = {each.place: each.reason for each in more.left_out[len(bundle.left_out) :]}
    assert "no file of commit" in refused["../../etc/passwd:1-3"]
    assert refused["1"] == "Only 6 items may be asked for."
    assert more.pieces[: len(bundle.pieces)] == bundle.pieces


async def test_sources_that_are_late_or_fail_cost_that_evidence_alone(
    database: Database, shop: tuple[Desk, GitRepository, str, int]
) -> None:
    subject = await shop[0].subject()

    class Unready:
        repository = "/srv/shop"

        def __init__(self, *, fails: bool) -> None:
            self._fails = fails

        async def commit_named(self, _: object) -> str:
            if self._fails:
                raise LookupError
            await asyncio.Event().wait()
            return ""

    @asynccontextmanager
    async def late(_: int) -> AsyncIterator[SourceReader | None]:
        yield Unready(fails=False)  # type: ignore[misc]

    @asynccontextmanager
    async def broken(_: int) -> AsyncIterator[SourceReader | None]:
        yield Unready(fails=True)  # type: ignore[misc]

    remembered = Remembered(None, RecentSeconds(), RecentProviderEvents(CLOCK))
    for open_sources, reason in ((late, "The three seconds"), (broken, "Reading it failed")):
        gatherer = Gatherer(database, CLOCK, Settings(), remembered, open_sources, within_s=0.05)
        bundle = await gatherer.gather(subject)
        assert kinds(bundle) == ["e1 occurrence", "e3 alike"]
        reasons = {each.kind: each.reason for each in bundle.left_out}
        assert all(reasons[kind].startswith(reason) for kind in ("source", "history", "blame"))


async def test_a_program_without_named_sources_has_none(database: Database) -> None:
    process = await tracked(database)
    desk = Desk(process, open_sources_of(ProjectTables(database, CLOCK), None))
    process.bus.publish(_seen("x", project=7, release="1.0", file="/etc/passwd", line=1))
    bundle = await desk.gatherer.gather(await desk.subject())
    reasons = {each.kind: each.reason for each in bundle.left_out}
    assert reasons["source"] == reasons["blame"] == "No repository of this program is named in the settings."


def test_a_release_names_its_commit_or_tags_of_its_version() -> None:
    assert commit_names("1.2.0+0123456789ab") == ["0123456789ab"]
    assert commit_names("1.2.0+0123456789ab-dirty") == ["0123456789ab"]
    assert commit_names("shop@1.2") == ["shop@1.2", "1.2", "v1.2"]
    assert commit_names("0123456789abcdef") == ["0123456789abcdef"]
    assert commit_names("") == []


CONFIGURED = "not-a-form-but-configured"


def in_each_source(name: str, secret: str) -> str:
    return "".join(f"line {number}\n" for number in range(1, 25)) + f"{name} = '''{secret}'''\nraise Broken\n"


@pytest.mark.sqlite
async def test_no_secret_is_in_what_a_model_is_shown(database: Database, tmp_path: Path) -> None:
    """Planted in the log, the source, its history, the sample, a note and what a program outside sends."""
    settings = Settings.model_validate({"providers": {"glm": {"api_key": CONFIGURED}}})
    process = await tracked(database)
    projects = ProjectTables(database, CLOCK)
    project = await projects.create("shop", "private", "0" * 64)
    assert project is not None
    repository = GitRepository(tmp_path / "shop")
    secrets = {name: secret for name, (_, secret) in BUILT_IN.items()} | {"configured": CONFIGURED}
    for name, secret in secrets.items():
        repository.commit({"cart.py": in_each_source(name, secret)}, f"use {secret.splitlines()[0]}")
    await projects.name_sources("shop", str(repository.folder), "")
    desk = Desk(process, open_sources_of(projects, None), settings)
    release = repository.repo.head().decode()
    lines = [
        part
        for secret in secrets.values()
        for part in secret.splitlines()
        if len(part) > 16 and "-----" not in part
    ]
    shown: list[str] = []
    for number, (name, secret) in enumerate(secrets.items()):
        desk.lines.add(CLOCK.wall(), f"sent {name}: {secret}")
        process.bus.publish(
            _seen(
                f"refused {name} {secret}",
                project=project.project_id,
                release=release,
                file="/app/cart.py",
                line=26,
            )
        )
        subject = await desk.subject()
        if number % 12:
            await process.groups.decide(
                subject.group.number,
                lambda each: resolve(each, at=CLOCK.utc()),
                version=None,
                actor="a",
                note=secret,
            )
            continue
        bundle = await desk.gatherer.gather(subject)
        asked = [
            FurtherItem("source", "cart.py:1-26"),
            FurtherItem("change", release),
            FurtherItem("log", "300"),
        ]
        bundle = await desk.gatherer.gather_more(subject, bundle, asked)
        shown.append(report_prompt(bundle, may_ask=True))
        shown.append(msgspec.json.encode(bundle).decode())
    whole = "\n".join(shown)
    assert {"source", "history", "blame", "change", "resolved"} <= {piece.kind for piece in bundle.pieces}
    assert [line for line in lines if line in whole] == []
    assert "raise Broken" in whole, "what is no secret is shown"
