"""Copies at providers that were made without a provider."""

import itertools
from datetime import datetime

from exai.storage.files.copies import CopyTables
from exai.storage.files.copy_rows import Begun, CopyKey, Method, NewCopy, Status, Store

__all__ = ["keep", "new_copy"]

_numbers = itertools.count(1)


def new_copy(key: CopyKey, run_id: str, at: datetime) -> NewCopy:
    """A copy that is about to be sent."""
    copy_id = f"copy_{next(_numbers)}"
    return NewCopy(
        copy_id, key, 3_000_000_000, f"exai-{key.sha256[:32]}-{copy_id}.png", Method.PICTURE, run_id, at
    )


async def keep(
    tables: CopyTables, store: Store, purpose: str, owner: str, sha256: str, file_id: str, at: datetime
) -> str:
    """A copy that arrived; its id."""
    copy = new_copy(CopyKey(store, purpose, owner, sha256), tables.run_id, at)
    assert await tables.begin(copy) is Begun.BEGUN
    assert await tables.settle(copy.copy_id, file_id, None, at) is Status.READY
    return copy.copy_id
