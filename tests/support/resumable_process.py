"""A resumable upload in a process that kills itself at one of its steps, and in the one that goes on with it.

Steps are each write, flush, truncation, rename and unlink of the store's folder, and each transaction, before and
after.
"""

import asyncio
from pathlib import Path

from exai import config
from exai.files.faults import UnknownUpload
from exai.files.store.resumable import Chunk
from exai.storage.database import Database
from support.forked_runs import Order, serve_runs
from support.shelf_process import count_steps
from support.shelves import OpenShelf, pieces

CONTENT = bytes(range(251)) * 9_000
THIRD = len(CONTENT) // 3
BEGUN, DONE = "begun", "done"


def run(order: Order) -> None:
    """Carry the upload on to its end, or die at step `kill_at`; what was answered is written into the data folder."""
    asyncio.run(_run(Path(order["data_dir"]), int(order["kill_at"])))


async def _run(data_dir: Path, kill_at: int) -> None:
    database = await Database.open(config.Database(), data_dir)
    shelf = OpenShelf(database, data_dir / "files", grace_hours=0)
    count_steps(database, kill_at)
    await shelf.uploads.sweep()
    upload_id = await _upload(shelf, data_dir / BEGUN)
    upload = await shelf.uploads.look("alice", upload_id)
    while not upload.is_done:
        content = CONTENT[upload.received : upload.received + THIRD]
        upload = await shelf.uploads.append("alice", upload_id, Chunk(upload.received, pieces(content)))
    _note(data_dir / DONE, upload.file_id or "")
    shelf.blobs.close()
    await database.close()


async def _upload(shelf: OpenShelf, answered: Path) -> str:
    """The upload that an earlier run began, or a new one."""
    if (upload_id := _noted(answered)) is not None:
        try:
            await shelf.uploads.look("alice", upload_id)
        except UnknownUpload:
            raise AssertionError("an upload that was acknowledged is lost") from None
        return upload_id
    upload = await shelf.uploads.begin("alice", "content", len(CONTENT))
    _note(answered, upload.upload_id)
    return upload.upload_id


def _noted(file: Path) -> str | None:
    return file.read_text() if file.exists() else None


def _note(file: Path, answer: str) -> None:
    file.write_text(answer)


if __name__ == "__main__":
    serve_runs(run)
