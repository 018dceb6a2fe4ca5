"""Twenty faults, each brought about in a real daemon before an emulator, with what a report on it has to say.

Providers, the set-up, EXAI's own code and other programs have their share. What decides between causes is named too: it
has to be in the evidence that is gathered.
"""

import asyncio
import re
import secrets
import sqlite3
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from exai.app.watching.evidence import build_gatherer
from exai.config.sources import load
from exai.error_tracking.ingestion.intake import sha256_of
from exai.error_tracking.investigation.bundle import EvidenceBundle, Subject
from exai.error_tracking.reports import Report
from exai.errors import StartFault
from exai.storage.database_file import FILE_NAME
from exai.storage.error_tracking.groups import GroupTables
from exai.storage.error_tracking.projects import ProjectTables
from exai_emulator import Emulator, EmulatorOptions, Fault, Persona, running
from support.daemon_in_process import DaemonInProcess, daemon_in_process
from support.daemons import clean_environ
from support.emulated import provider_environment
from support.mcp_websocket import McpSocket, mcp_socket
from support.repositories import GitRepository
from support.virtual_time import hold_at

__all__ = ["SEEDED", "Judged", "Seeded", "Stage", "judge"]

RECORDED = Path(__file__).parents[1] / "system" / "recorded_reports"
DEPTH = "".join(f"# line {number}\n" for number in range(1, 12))
CART = f"{DEPTH}def total(prices):\n    return sum(prices)\n"


@dataclass
class Stage:
    """A daemon before an emulator, and what scenarios need beside."""

    daemon: DaemonInProcess
    socket: McpSocket
    emulator: Emulator
    folder: Path
    http: aiohttp.ClientSession

    @property
    def data(self) -> Path:
        """The data folder of the daemon."""
        return self.folder / "data"

    async def chat(self, model: str = "glm-5.3", **arguments: Any) -> dict[str, Any]:
        """Ask a model."""
        return await self.socket.tool("chat", {"prompt": "Hello.", "model": model, **arguments})

    async def program(self, repository: Path | None = None) -> tuple[int, str]:
        """Make a program that reports; return its number and key."""
        services, key = self.daemon.services, secrets.token_hex(16)
        projects = ProjectTables(services.storage.database, services.clock)
        made = await projects.create("shop", "private", sha256_of(key))
        assert made is not None
        if repository is not None:
            await projects.name_sources("shop", str(repository), None)
        return made.project_id, key

    async def report(self, project: tuple[int, str], *reports: Mapping[str, Any]) -> None:
        """Send reports as a program does that has no SDK."""
        number, key = project
        url, head = f"{self.daemon.errors}/v1/errors", {"Authorization": f"Bearer {number}:{key}"}
        async with self.http.post(url, data=msgspec.json.encode(reports), headers=head) as answer:
            assert answer.status == 200, await answer.text()


@dataclass(frozen=True)
class Seeded:
    """One of the twenty."""

    name: str
    area: str
    """`provider`, `set-up`, `ours` or `outside`."""
    bring: Callable[[Stage], Awaitable[None]]
    cause: str
    """What the report calls it."""
    place: str
    """A pattern that the place of the report has to match."""
    kind: str
    """Of the piece that decides."""
    deciding: str
    """A pattern that this piece has to match."""
    environ: Mapping[str, str] = field(default_factory=dict)
    title: str = ""
    """A pattern of the group's title, where it leaves several."""
    suspect: str = ""
    """A pattern of the first suspect commit that the report has to name."""


@dataclass(frozen=True)
class Judged:
    """What came of one."""

    seeded: Seeded
    report: Report | None
    bundle: EvidenceBundle | None
    subject: Subject | None = None

    @property
    def is_right(self) -> bool:
        """Whether the report names the cause and the place."""
        report, seeded = self.report, self.seeded
        return (
            report is not None
            and report.cause == seeded.cause
            and re.search(seeded.place, report.place) is not None
            and re.search(seeded.suspect, report.suspect or "") is not None
        )

    @property
    def has_deciding(self) -> bool:
        """Whether the piece that decides is in the bundle."""
        return self.bundle is not None and any(
            each.kind == self.seeded.kind and re.search(self.seeded.deciding, each.text)
            for each in self.bundle.pieces
        )


async def judge(seeded: Seeded, folder: Path) -> Judged:
    """Bring a fault about in a daemon of its own, and read what is said of it without a model."""
    async with running(EmulatorOptions()) as emulator, aiohttp.ClientSession() as http:
        emulator.persona = Persona(think_tokens=0)
        environ = {**provider_environment(emulator), **seeded.environ}
        if seeded.name == "old schema":
            await _start_on_an_old_schema(folder / "data", environ)
        async with (
            daemon_in_process(data_dir=folder / "data", environ=environ, wall=time.time()) as daemon,
            mcp_socket(daemon.mcp_ws) as socket,
        ):
            await seeded.bring(Stage(daemon, socket, emulator, folder, http))
            return await _judged(seeded, daemon, folder / "data", environ)


async def _judged(seeded: Seeded, daemon: DaemonInProcess, data: Path, environ: dict[str, str]) -> Judged:
    services = daemon.services
    database, clock, faults = services.storage.database, services.clock, services.faults
    await faults.tracker.flush()
    groups = GroupTables(database, clock)
    listed = await groups.listed(state=None, most=100, order="first")
    found = [each for each in listed if re.search(seeded.title, each.title)]
    if not found:
        return Judged(seeded, None, None)
    details = await faults.console.shown(found[0].number)
    (occurrence, *_) = await groups.occurrences(found[0], 1)
    settings = load(
        environ=clean_environ(data, environ), config_file=None, overrides=(), cwd=data.parent
    ).settings
    gatherer = build_gatherer(settings, database, services.monitoring, clock)
    subject = Subject(found[0], occurrence, occurrence.release)
    return Judged(seeded, details.report, await gatherer.gather(subject), subject)


async def _start_on_an_old_schema(data: Path, environ: dict[str, str]) -> None:
    """A start that finds a database of another release, which is then put right by its administrator."""
    async with daemon_in_process(data_dir=data, environ=environ, wall=time.time()):
        pass
    with closing(sqlite3.connect(data / FILE_NAME)) as rows:
        ((version,),) = rows.execute("SELECT version_num FROM alembic_version").fetchall()
        rows.execute("UPDATE alembic_version SET version_num = '0001'")
        rows.commit()
    with suppress(StartFault):
        async with daemon_in_process(data_dir=data, environ=environ, wall=time.time()):
            raise AssertionError("it starts")
    with closing(sqlite3.connect(data / FILE_NAME)) as rows:
        rows.execute("UPDATE alembic_version SET version_num = ?", (version,))
        rows.commit()


def _provider(provider: str, model: str, fault: Fault) -> Callable[[Stage], Awaitable[None]]:
    async def bring(stage: Stage) -> None:
        stage.emulator.faults.add(provider, fault)
        await stage.chat(model)

    return bring


async def _limit(stage: Stage) -> None:
    stage.emulator.persona = Persona(think_tokens=0, text="slow")
    stage.emulator.faults.add("glm", Fault(before_headers_ms=60_000, times=None))
    calls = [asyncio.ensure_future(stage.chat()) for _ in range(40)]
    await asyncio.wait(calls)


async def _root(stage: Stage) -> None:
    await stage.chat(absolute_file_paths=["/etc/hostname"])


async def _locked(stage: Stage) -> None:
    with closing(sqlite3.connect(stage.data / FILE_NAME)) as other:
        other.execute("BEGIN EXCLUSIVE")
        await stage.chat()
        other.rollback()


async def _full(stage: Stage) -> None:
    with closing(sqlite3.connect(stage.data / FILE_NAME)) as rows:
        rows.execute(
            "CREATE TRIGGER full BEFORE INSERT ON calls "
            "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        )
        rows.commit()
        await stage.chat()
        rows.execute("DROP TRIGGER full")
        rows.commit()


async def _nothing(_: Stage) -> None:
    return


class _Broken(dict[Any, Any]):
    """A table inside the daemon that fails as real ones did."""

    def __init__(self, error: Exception, kept: int = 0) -> None:
        super().__init__()
        self._error, self._kept, self._held = error, kept, bytearray()

    def get(self, *_: Any) -> Any:
        self._held += bytes(self._kept)
        raise self._error


def _inside(error: Exception, kept: int = 0) -> Callable[[Stage], Awaitable[None]]:
    async def bring(stage: Stage) -> None:
        await asyncio.sleep(2)
        health = stage.daemon.services.monitoring.health
        vars(health)["_seen"] = _Broken(error, kept)
        await stage.socket.tool("models", {})
        await asyncio.sleep(3)

    return bring


async def _blocked(stage: Stage) -> None:
    stage.emulator.faults.add("glm", Fault(before_headers_ms=4_000, times=None))
    hold_at(1.0, 8.0)
    await stage.chat()
    await asyncio.sleep(3)


async def _regression(stage: Stage) -> None:
    repository = GitRepository(stage.folder / "shop")
    for release in range(1, 5):
        text = CART.replace("sum(prices)", "sum(prices) / len(prices)") if release == 3 else CART
        repository.commit({"shop/cart.py": text, "notes.txt": f"{release}\n"}, f"release {release}")
        repository.repo.refs[b"refs/tags/v1.%d" % release] = repository.repo.head()
    project = await stage.program(repository.folder)
    frame = {"module": "shop.cart", "function": "total", "file": "/app/shop/cart.py", "line": 13, "own": True}
    other = {"module": "shop.mail", "function": "send", "file": "/app/shop/mail.py", "line": 1, "own": True}
    for release in (1, 2):
        mail = {"type": "Refused", "message": "no mail", "frames": [other]}
        await stage.report(project, {"exceptions": [mail], "release": f"shop@1.{release}"})
    error = {"type": "ZeroDivisionError", "message": "division by zero", "frames": [frame]}
    await stage.report(project, {"exceptions": [error], "release": "shop@1.3"})


def _recorded(name: str) -> Callable[[Stage], Awaitable[None]]:
    """Report what an SDK sent for a program that failed."""

    async def bring(stage: Stage) -> None:
        number, key = await stage.program()
        url = f"{stage.daemon.errors}/api/{number}/envelope/?sentry_key={key}&sentry_version=7"
        body = await asyncio.to_thread((RECORDED / name).read_bytes)
        async with stage.http.post(url, data=body) as answer:
            assert answer.status == 200, await answer.text()

    return bring


SEEDED: tuple[Seeded, ...] = (
    Seeded(
        "401",
        "provider",
        _provider("kimi", "kimi-k3", Fault(error="invalid_authentication", times=None)),
        "set-up",
        "^kimi/kimi-k3$",
        "provider_answer",
        "HTTP 401",
    ),
    Seeded(
        "429",
        "provider",
        _provider("glm", "glm-5.3", Fault(error="1302", times=None)),
        "theirs",
        "^glm/glm-5.3$",
        "provider",
        "retry of glm/glm-5.3 .*provider_throttled",
    ),
    Seeded(
        "burst of 500",
        "provider",
        _provider("kimi", "kimi-k3", Fault(error="server_error", times=None)),
        "theirs",
        "^kimi/kimi-k3$",
        "provider_answer",
        "HTTP 500",
    ),
    Seeded(
        "silence",
        "provider",
        _provider("glm", "glm-5.3", Fault(before_headers_ms=10_000_000, times=None)),
        "theirs",
        "^glm/glm-5.3$",
        "call",
        "first_token_ms|failed_requests_ms",
    ),
    Seeded(
        "half a stream",
        "provider",
        _provider("glm", "glm-5.3", Fault(cut="close", times=None)),
        "theirs",
        "^glm/glm-5.3$",
        "provider_answer",
        "AnswerBroken|ProviderUnreachable",
    ),
    Seeded(
        "empty answer",
        "provider",
        _provider("glm", "glm-5.3", Fault(content="empty", times=None)),
        "theirs",
        "^glm/glm-5.3$",
        "provider_answer",
        "AnswerEmpty|AnswerBroken",
    ),
    Seeded(
        "quota",
        "provider",
        _provider("kimi", "kimi-k3", Fault(error="quota", times=None)),
        "set-up",
        "^kimi/kimi-k3$",
        "provider_answer",
        "QuotaExhausted",
    ),
    Seeded(
        "limit",
        "set-up",
        _limit,
        "set-up",
        "^stage .*wait",
        "settings",
        r"admission.model_limit = 1 \(default",
        {"EXAI_ADMISSION__MODEL_LIMIT": "1", "EXAI_TIMEOUTS__CALL_S": "30"},
    ),
    Seeded(
        "root",
        "set-up",
        _root,
        "caller's",
        "exai",
        "occurrence",
        "file_refused",
        {"EXAI_FILES__ROOTS": '["/srv"]'},
    ),
    Seeded(
        "expired key",
        "set-up",
        _provider("glm", "glm-5.3", Fault(error="1003", times=None)),
        "set-up",
        "^glm/glm-5.3$",
        "provider_answer",
        "1003, HTTP 401",
    ),
    Seeded(
        "locked database", "set-up", _locked, "set-up", "^exai.storage", "occurrence", "database is locked"
    ),
    Seeded("full disk", "set-up", _full, "set-up", "^exai.storage", "occurrence", "database or disk is full"),
    Seeded(
        "old schema",
        "set-up",
        _nothing,
        "set-up",
        "exai.storage",
        "occurrence",
        "schema|migrate",
        title="cannot_start",
    ),
    Seeded(
        "KeyError",
        "ours",
        _inside(KeyError("glm-5.3")),
        "ours",
        "exai.monitoring.provider_health:ProviderHealth.of",
        "source",
        r"self\._seen\.get\(",
    ),
    Seeded(
        "race",
        "ours",
        _inside(RuntimeError("dictionary changed size during iteration")),
        "ours",
        "exai.monitoring.provider_health:ProviderHealth.of",
        "occurrence",
        "dictionary changed size during iteration",
    ),
    Seeded(
        "blocked loop",
        "ours",
        _blocked,
        "ours",
        "loop",
        "load",
        r"loop_lag_ms.*highest [1-9],\d{3}",
        {"EXAI_TIMEOUTS__CALL_S": "5"},
    ),
    Seeded(
        "leak",
        "ours",
        _inside(MemoryError("out of memory"), kept=200 * 2**20),
        "ours",
        "exai.monitoring.provider_health:ProviderHealth.of",
        "load",
        "resident_bytes",
    ),
    Seeded(
        "regression",
        "ours",
        _regression,
        "another program's",
        "shop.cart:total",
        "history",
        r"\+    return sum\(prices\) / len\(prices\)",
        title="ZeroDivision",
        suspect="release 3",
    ),
    Seeded(
        "Python program",
        "outside",
        _recorded("sentry-python-2.75.0.envelope"),
        "another program's",
        "^__main__:charge, line 23$",
        "occurrence",
        "KeyError: 'basket'",
    ),
    Seeded(
        "Node program",
        "outside",
        _recorded("sentry-node-11.12.0.envelope"),
        "another program's",
        ":charge, line",
        "occurrence",
        "TypeError: Cannot read properties of undefined",
    ),
)
