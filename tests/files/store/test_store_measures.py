"""The metrics of the store: what its tables add up to, without owners and names."""

from pathlib import Path

from exai.events.bus import EventBus
from exai.files.faults import FileDamaged
from exai.files.store.measures import StoreMeasures
from exai.monitoring.file_metrics import FileMetrics
from exai.monitoring.metrics import Metrics
from exai.storage.database import Database
from exai.storage.files.measures import FileSums
from exai.storage.files.rows import Quota
from support.shelves import OpenShelf, sha256_of


def lines(metrics: Metrics) -> set[str]:
    return {line for line in metrics.exposition().decode().splitlines() if line.startswith("exai_file")}


async def test_files_are_counted_as_they_come_go_and_rot(database: Database, tmp_path: Path) -> None:
    shelf, metrics, bus = (
        OpenShelf(database, tmp_path / "files", grace_hours=0),
        Metrics(version="1"),
        EventBus(),
    )
    FileMetrics(metrics).watch(bus)
    shelf.publish_to(bus)
    measures = StoreMeasures(FileSums(database, Quota(bytes=100, files=10)), tmp_path / "files")
    metrics.read_samples(measures.samples)
    kept = await shelf.put("alice-canary", "name-canary", b"x" * 40)
    await shelf.put("bob", "b", b"y" * 95)
    gone = await shelf.put("bob", "g", b"z")
    await shelf.shelf.remove("bob", gone)
    next((tmp_path / "files" / "blobs").rglob(sha256_of(b"x" * 40))).write_bytes(b"rotten")
    try:
        await shelf.read("alice-canary", kept)
    except FileDamaged:
        await measures.refresh()
    found = lines(metrics)
    assert {
        "exai_files_stored_total 3.0",
        "exai_file_bytes_stored_total 136.0",
        "exai_files_removed_total 1.0",
        "exai_file_contents_damaged_total 1.0",
        'exai_file_contents{state="damaged"} 1.0',
        'exai_file_contents{state="live"} 1.0',
        'exai_file_content_bytes{state="condemned"} 1.0',
        'exai_file_owners{from_share="0.5"} 1.0',
        'exai_file_owners{from_share="0.9"} 1.0',
        'exai_file_owners{from_share="1"} 0.0',
        "exai_file_quota_share_max 0.95",
    } <= found
    assert any(line.startswith("exai_file_store_free_bytes ") for line in found)
    assert "canary" not in "".join(found)
    shelf.clock.advance(1)
    await shelf.shelf.collect()
    assert {"exai_file_contents_deleted_total 1.0", "exai_file_bytes_deleted_total 1.0"} <= lines(metrics)
    shelf.blobs.close()
