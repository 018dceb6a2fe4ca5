"""Rows of copies at providers, and the values of their columns; `copies` has the states and what changes them."""

from datetime import datetime
from enum import StrEnum

import msgspec

__all__ = [
    "ENDED",
    "KNOWN",
    "LIVE",
    "OPEN",
    "SHARED",
    "Begun",
    "CondemnedCopy",
    "CopyKey",
    "CopyRow",
    "Method",
    "NewCopy",
    "Status",
    "Store",
    "StoreUsage",
]

SHARED = ""
"""The owner of copies that all share."""


class Status(StrEnum):
    """How a copy stands; see the top."""

    SENDING = "sending"
    READY = "ready"
    UNVERIFIED = "unverified"
    DOUBTFUL = "doubtful"
    DROPPED = "dropped"
    MISSING = "missing"
    FAILED = "failed"
    DELETING = "deleting"
    UNDELETED = "undeleted"
    GONE = "gone"


class Method(StrEnum):
    """How, and for what, a copy was sent."""

    DIRECT = "direct"
    """From the bytes of a caller's request."""
    GATEWAY = "gateway"
    """From a stored file."""
    EXTRACT = "extract"
    """For its text."""
    PART = "part"
    """As a file part of a prompt."""
    PICTURE = "picture"
    VIDEO = "video"
    IMPORTED = "import"
    """Known from an older installation."""


LIVE = (Status.SENDING, Status.READY, Status.UNVERIFIED)
OPEN = (Status.SENDING, Status.DOUBTFUL, Status.DROPPED)
"""Whether it arrived is not known."""
KNOWN = (Status.READY, Status.UNVERIFIED)
ENDED = (Status.MISSING, Status.FAILED, Status.GONE)


class Store(msgspec.Struct, frozen=True):
    """One account's files at one provider."""

    provider: str
    account: str
    """A fingerprint; it says nothing of the key."""


class CopyKey(msgspec.Struct, frozen=True):
    """What at most one live copy has."""

    store: Store
    purpose: str
    owner: str
    sha256: str


class NewCopy(msgspec.Struct, frozen=True):
    """A copy that is about to be sent."""

    copy_id: str
    key: CopyKey
    bytes: int
    filename: str
    method: Method
    run_id: str
    at: datetime
    file_owner: str | None = None
    """Who needs the stored content of which it is made: if nobody does any more, nothing is sent. `None`: it is made
    of none."""
    origin_sha256: str | None = None
    """The content of which what is sent was made, such as a picture that is made smaller; `None`: it is as it was."""


class Begun(StrEnum):
    """Whether a copy may be sent."""

    BEGUN = "begun"
    TAKEN = "taken"
    """Its key has a live one."""
    UNWANTED = "unwanted"
    """The content of which it is made is not needed any more."""


class CopyRow(msgspec.Struct, frozen=True):
    """A copy."""

    copy_id: str
    provider: str
    account: str
    purpose: str
    owner: str
    sha256: str | None
    provider_file_id: str | None
    filename: str
    upload_method: str
    status: Status
    bytes: int
    attempts: int
    error_code: str | None
    run_id: str | None
    uploaded_at: datetime
    used_at: datetime
    verified_at: datetime | None
    expires_at: datetime | None
    ended_at: datetime | None
    origin_sha256: str | None = None

    @property
    def store(self) -> Store:
        """Where it lies."""
        return Store(self.provider, self.account)


class CondemnedCopy(msgspec.Struct, frozen=True):
    """A file that is to be deleted at the provider."""

    provider: str
    account: str
    provider_file_id: str
    owner: str
    attempts: int


class StoreUsage(msgspec.Struct, frozen=True):
    """What lies, or may lie, in a store."""

    files: int
    bytes: int
