"""Counts what happens to stored files, from events."""

from exai.events.bus import EventBus
from exai.events.events import ContentDamaged, ContentsDeleted, FileRemoved, FileStored
from exai.monitoring.metrics import Metrics

__all__ = ["FileMetrics"]


class FileMetrics:
    """Counts files, contents and bytes."""

    def __init__(self, metrics: Metrics) -> None:
        self._stored = metrics.counter("files_stored", "Files that were stored.")[()]
        self._stored_bytes = metrics.counter("file_bytes_stored", "Their bytes, equal contents included.")[()]
        self._removed = metrics.counter("files_removed", "Files that their owners removed.")[()]
        self._damaged = metrics.counter(
            "file_contents_damaged", "Contents whose bytes were found missing or changed."
        )[()]
        self._deleted = metrics.counter("file_contents_deleted", "Contents that nobody needed any more.")[()]
        self._deleted_bytes = metrics.counter("file_bytes_deleted", "Their bytes.")[()]

    def watch(self, bus: EventBus) -> None:
        """Count from now on."""
        bus.watch(self._note_stored, FileStored)
        bus.watch(lambda _: self._removed.inc(), FileRemoved)
        bus.watch(lambda _: self._damaged.inc(), ContentDamaged)
        bus.watch(self._note_deleted, ContentsDeleted)

    def _note_stored(self, event: FileStored) -> None:
        self._stored.inc()
        self._stored_bytes.inc(event.bytes)

    def _note_deleted(self, event: ContentsDeleted) -> None:
        self._deleted.inc(event.contents)
        self._deleted_bytes.inc(event.bytes)
