"""The keys that EXAI signs with: private halves as files in the data folder, public halves in the database.

First the file, then the row: a crash between the two leaves a file that signs nothing. Replicas that share a
database each have files of their own and verify one another's tokens.
"""

import asyncio
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from exai.auth.verifying_key import OwnAlgorithm
from exai.errors import StartFault, StoreFailed
from exai.runtime.os_errors import reason_of
from exai.runtime.private_files import read_private, replace_private
from exai.runtime.start.later import LaterModule
from exai.storage.identity.rows import KeyRow
from exai.storage.identity.tables import IdentityTables

if TYPE_CHECKING:
    from exai.auth import keys as pairs
    from exai.auth.keys import PrivateKey
else:
    pairs = LaterModule("exai.auth.keys")

__all__ = ["SigningKey", "SigningKeys"]

_KID = re.compile(r"[0-9a-f]{24}")
_UNDER_WAY = timedelta(hours=1)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key with its `kid`."""

    kid: str
    private: "PrivateKey"


class SigningKeys:
    """Finds, creates and deletes signing keys."""

    def __init__(self, tables: IdentityTables, folder: Path) -> None:
        self._tables = tables
        self._folder = folder
        self._loaded: dict[str, PrivateKey] = {}

    async def current(self, algorithm: OwnAlgorithm, now: datetime) -> SigningKey:
        """Find the newest key that may sign and whose private half is here; create one where there is none.

        Raises:
            StoreFailed: the database or the folder of keys cannot be used.
        """
        for row in await self._tables.keys():
            if row.retired_at is None and (private := await self._private(row)) is not None:
                return SigningKey(row.kid, private)
        return await self.make(algorithm, now)

    async def make(self, algorithm: OwnAlgorithm, now: datetime) -> SigningKey:
        """Create a key, which every process verifies with from now on.

        Raises:
            StoreFailed: the database or the folder of keys cannot be used.
        """
        private, row = await self._new(algorithm, now)
        await self._tables.add_key(row)
        self._loaded[row.kid] = private
        return SigningKey(row.kid, private)

    async def replace(
        self, algorithm: OwnAlgorithm, now: datetime, *, at_once: bool, least: timedelta
    ) -> SigningKey:
        """Create a key in place of all others, which sign no more from then on.

        Raises:
            StoreFailed: the database or the folder of keys cannot be used; everything is as it was.
        """
        private, row = await self._new(algorithm, now)
        await self._tables.replace_keys(row, at_once=at_once, least=least)
        self._loaded[row.kid] = private
        await self.forget(now)
        return SigningKey(row.kid, private)

    async def forget(self, now: datetime) -> None:
        """Delete the private halves of keys that sign no more, also where a crash had left them."""
        found = await asyncio.to_thread(self._files)
        rows = {row.kid: row for row in await self._tables.keys()}
        for kid, written_at in found.items():
            row = rows.get(kid)
            # One that has no row yet may be getting it just now.
            is_left = row is None and written_at < (now - _UNDER_WAY).timestamp()
            if is_left or (row is not None and row.retired_at is not None):
                self._loaded.pop(kid, None)
                await asyncio.to_thread(self._delete, kid)

    async def _new(self, algorithm: OwnAlgorithm, now: datetime) -> "tuple[PrivateKey, KeyRow]":
        """Generate a key and write its file."""
        private = await asyncio.to_thread(lambda: pairs.generate(algorithm))
        public = pairs.public_pem(private)
        row = KeyRow(pairs.kid_of(public), algorithm, public, now)
        await asyncio.to_thread(self._write, row.kid, pairs.private_pem(private))
        return private, row

    def _delete(self, kid: str) -> None:
        try:
            self._file(kid).unlink(missing_ok=True)
        except OSError as error:
            _log.warning("a key that signs no more cannot be deleted", kid=kid, reason=reason_of(error))

    def _files(self) -> dict[str, float]:
        """List the private halves in the data folder, with when each was written."""
        files = {file.stem: file for file in self._folder.glob("*.pem") if file.is_file()}
        return {kid: file.stat().st_mtime for kid, file in files.items() if _KID.fullmatch(kid)}

    def _file(self, kid: str) -> Path:
        return self._folder / f"{kid}.pem"

    async def _private(self, row: KeyRow) -> "PrivateKey | None":
        if row.kid not in self._loaded:
            pem = await asyncio.to_thread(self._read, row.kid)
            private = None if pem is None else pairs.load_private(pem)
            if private is None or pairs.public_pem(private) != row.public_key:
                return None
            self._loaded[row.kid] = private
        return self._loaded[row.kid]

    def _read(self, kid: str) -> bytes | None:
        file = self._file(kid)
        try:
            return read_private(file).encode("ascii", "replace")
        except FileNotFoundError:
            return None
        except OSError as error:
            # Such as a key that another user of the machine made: one of our own does as well.
            _log.warning("a signing key cannot be read and is not used", kid=kid, reason=reason_of(error))
            return None
        except StartFault as fault:
            _log.warning("a signing key is not used", kid=kid, reason=str(fault))
            return None

    def _write(self, kid: str, pem: bytes) -> None:
        file = self._file(kid)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_private(file, pem.decode("ascii"))
        except OSError as error:
            reason = reason_of(error)
            _log.error("a signing key cannot be written", file=str(file), reason=reason)
            # The answer may go over a network, so it does not say where the folder is.
            raise StoreFailed(
                f"No signing key can be written into `keys` of `data_dir` ({reason}); see to that folder."
            ) from error
