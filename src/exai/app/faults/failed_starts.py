"""Starts that failed before there was a database to count them in: kept as files, counted by the next start.

A file is written whole or not at all, redacted, for its owner alone. It is removed once it is counted; a process that
dies in between leaves it, and the occurrence in the database says that it was counted.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import structlog

from exai.app.faults.release import running_release, settings_digest
from exai.config import Settings
from exai.config.tree import secret_values
from exai.error_tracking.faults import OWN_PROJECT, Fault, FaultSource
from exai.error_tracking.fingerprints import fingerprint
from exai.error_tracking.noticing import FaultNotices, FaultSeen, is_noticed
from exai.error_tracking.tracker import KEPT_FRAMES, LONGEST_MESSAGE, Tracker
from exai.events.bus import EventBus
from exai.events.events import Event
from exai.monitoring.logs import Redaction
from exai.runtime.clock import Clock
from exai.storage.error_tracking.projects import ProjectTables

__all__ = ["FOLDER", "FailedStarts"]

_log = structlog.get_logger(__name__)

FOLDER = "failed-starts"
MOST_FILES = 20
"""Further failures are not kept until these are counted: they are most likely the same one."""
LARGEST_FILE = 256 * 1024


class FailedStarts:
    """The files of one data folder."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = settings.data_dir / FOLDER

    @contextmanager
    def kept(self, clock: Clock) -> Iterator[None]:
        """Keep what ends the scope and was noticed by nobody else."""
        try:
            yield
        except Exception as error:
            if not is_noticed(error):
                digest = settings_digest(self._settings)
                notices = FaultNotices(self._keep, clock, release=running_release(), settings_digest=digest)
                notices.notice(error, FaultSource.START)
            raise

    async def count(self, bus: EventBus, tracker: Tracker, projects: ProjectTables) -> None:
        """Count what earlier starts left, and remove it.

        Raises:
            StoreFailed: it is left for the next start.
        """
        found = dict(self._read())
        if not found:
            return
        counted = await projects.known_events(OWN_PROJECT, [each.occurrence_id for each in found.values()])
        for fault in found.values():
            if fault.occurrence_id not in counted:
                bus.publish(FaultSeen(fault, fingerprint(fault)))
        await tracker.flush()
        for file in found:
            with suppress(OSError):
                file.unlink()

    def _keep(self, event: Event) -> None:
        if isinstance(event, FaultSeen):
            self._write(_redacted(event.fault, Redaction(secret_values(self._settings))))

    def _write(self, fault: Fault) -> None:
        file = self._folder / f"{fault.occurrence_id}.json"
        beginning = file.with_suffix(".part")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if sum(1 for _ in self._folder.iterdir()) >= MOST_FILES:
                return
            with os.fdopen(os.open(beginning, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
                opened.write(msgspec.json.encode(fault))
            beginning.replace(file)
        except OSError:
            # Most likely it is why the start failed, which says so itself.
            _log.debug("a failed start cannot be kept to be counted later", folder=str(self._folder))

    def _read(self) -> Iterator[tuple[Path, Fault]]:
        try:
            files = sorted(self._folder.glob("*.json"))[:MOST_FILES]
        except OSError:
            return
        for file in files:
            try:
                if file.stat().st_size <= LARGEST_FILE:
                    fault = msgspec.json.decode(file.read_bytes(), type=Fault)
                    yield file, fault
            except msgspec.DecodeError:
                _log.warning("a failed start that was kept is broken, and is removed", file=str(file))
                with suppress(OSError):
                    file.unlink()
            except OSError:
                _log.warning("a failed start that was kept cannot be read", file=str(file))


def _redacted(fault: Fault, redaction: Redaction) -> Fault:
    """Redact before cutting, as for the database; the id is also that by which a repeat is known."""
    chain = tuple(
        msgspec.structs.replace(
            each,
            message=redaction.text(each.message[: 2 * LONGEST_MESSAGE])[:LONGEST_MESSAGE],
            frames=each.frames[-KEPT_FRAMES:],
        )
        for each in fault.chain
    )
    return msgspec.structs.replace(fault, chain=chain, event_id=f"{fault.project}/{fault.occurrence_id}")
