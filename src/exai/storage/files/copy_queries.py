"""Conditions on copies at providers."""

from typing import Any

from sqlalchemy import and_

from exai.storage.files.copy_rows import CopyKey, Store
from exai.storage.schema import provider_file_uploads as copies

__all__ = ["in_store", "is_made_of", "of_file", "of_key"]


def in_store(store: Store) -> Any:
    """Return the condition that a copy lies in a store."""
    return and_(copies.c.provider == store.provider, copies.c.account == store.account)


def of_key(key: CopyKey) -> Any:
    """Return the condition that a copy has a key."""
    return and_(
        in_store(key.store),
        copies.c.purpose == key.purpose,
        copies.c.owner == key.owner,
        copies.c.sha256 == key.sha256,
    )


def of_file(store: Store, provider_file_id: str) -> Any:
    """Return the condition that a copy is a file of a store."""
    return and_(in_store(store), copies.c.provider_file_id == provider_file_id)


def is_made_of(sha256: str) -> Any:
    """Return the condition that a copy is one of a content, or was made of it."""
    return (copies.c.sha256 == sha256) | (copies.c.origin_sha256 == sha256)
