"""Makes the copies of a configured account."""

import hashlib

from exai.providers.base import Shared
from exai.providers.faults import Names
from exai.providers.file_limits import FileDialect
from exai.providers.profile import Profile
from exai.providers.remote_files.copies import AccountCopies
from exai.providers.remote_files.file_store import FileStore
from exai.storage.files.copy_rows import Store

__all__ = ["account_copies", "account_fingerprint"]


def account_fingerprint(base_url: str, key: str) -> str:
    """Return an id of the account that does not reveal its key."""
    return hashlib.sha256(f"{base_url}\0{key}".encode()).hexdigest()[:32]


def account_copies(
    provider: str,
    profile: Profile,
    dialect: FileDialect,
    base_url: str,
    key: str | None,
    shared: Shared,
    keep_days: int,
) -> AccountCopies | None:
    """Make the copies of an account; `None` without a key, or where copies are not remembered."""
    if key is None or shared.copies is None:
        return None
    store = Store(provider, account_fingerprint(base_url, key))
    names = Names(profile.title, "files", profile.key_hint, profile.url_setting)
    files = FileStore(store, dialect, profile.errors, names, shared.clock)
    return AccountCopies(files, shared.copies, shared.clock, shared.files, keep_days=keep_days)
