"""What is wrong with a store of files whose process was killed, once the next process has looked after it."""

from pathlib import Path

from sqlalchemy import select

from exai import config
from exai.storage.database import Database
from exai.storage.schema import blobs, file_references, file_uploads
from support.shelf_process import CONTENTS, acknowledged, open_shelf
from support.shelves import sha256_of

__all__ = ["audit"]


async def audit(data_dir: Path, s3: str | None = None) -> list[str]:
    """Look after a store as the next process does, and compare its rows, its bytes and what was acknowledged."""
    database = await Database.open(config.Database(), data_dir)
    shelf, bucket = open_shelf(database, data_dir, s3)
    shelf.clock.advance(3600)
    await shelf.shelf.sweep()
    shelf.clock.advance(1)
    await shelf.shelf.collect()
    notes = list(acknowledged(data_dir))
    kept = {(owner, file_id): name for done, owner, file_id, name in notes if done == "put"}
    for done, owner, file_id, _ in notes:
        if done in {"removing", "removed"}:
            kept.pop((owner, file_id), None)
    removed = {(owner, file_id) for done, owner, file_id, _ in notes if done == "removed"}
    wrong = []
    listed: dict[tuple[str, str], str] = {}
    for owner in ("alice", "bob"):
        for row in await shelf.shelf.newest(owner, 100):
            listed[owner, row.file_id] = row.sha256
            if await shelf.read(owner, row.file_id) != CONTENTS[row.name.partition("-")[0]]:
                wrong.append(f"diverged: {row.name}")
        if (await shelf.tables.usage(owner)).files != sum(key[0] == owner for key in listed):
            wrong.append(f"space of {owner} is reserved for nothing")
    wrong += [f"lost: {name}" for key, name in kept.items() if listed.get(key) != sha256_of(CONTENTS[name])]
    wrong += ["undead" for key in removed if key in listed]
    if (shelf.on_disk if bucket is None else bucket.kept) != set(listed.values()):
        wrong.append("contents without a file, or files without a content")
    if shelf.incoming:
        wrong.append("temporary files")
    states, uploads, references = await database.read(
        lambda connection: (
            set(connection.scalars(select(blobs.c.state)).all()),
            connection.execute(select(file_uploads)).all(),
            connection.execute(select(file_references)).all(),
        )
    )
    if states - {"live"} or uploads or len(references) != len(listed):
        wrong.append(f"rows: {states}, {len(uploads)} uploads, {len(references)} references")
    shelf.blobs.close()
    if bucket is not None:
        await bucket.close()
    await database.close()
    return wrong
