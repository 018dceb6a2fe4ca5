"""The keys that EXAI signs with: private halves as files in the data folder, public halves in the database.

First the file, then the row: a crash between the two leaves a file that signs nothing. Replicas that share a
database each have files of their own and verify one another's tokens.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import structlog

from exai.auth.keys import OwnAlgorithm, PrivateKey, generate, kid_of, load_private, private_pem, public_pem
from exai.errors import StartFault, StoreFailed
from exai.private_files import read_private, replace_private
from exai.storage.identity import IdentityTables, KeyRow

__all__ = ["SigningKey", "SigningKeys"]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key with its name."""

    kid: str
    private: PrivateKey


class SigningKeys:
    """Finds, makes and forgets."""

    def __init__(self, tables: IdentityTables, folder: Path) -> None:
        self._tables = tables
        self._folder = folder
        self._loaded: dict[str, PrivateKey] = {}

    async def current(self, algorithm: OwnAlgorithm, now: datetime) -> SigningKey:
        """The newest key that may sign and whose private half lies here; the first is made when it is needed.

        Raises:
            StoreFailed: the database or the folder of keys cannot be used.
        """
        for row in await self._tables.keys():
            if row.retired_at is None and (private := await self._private(row)) is not None:
                return SigningKey(row.kid, private)
        return await self.make(algorithm, now)

    async def make(self, algorithm: OwnAlgorithm, now: datetime) -> SigningKey:
        """A new key, which everybody verifies with from now on.

        Raises:
            StoreFailed: the database or the folder of keys cannot be used.
        """
        private = await asyncio.to_thread(generate, algorithm)
        public = public_pem(private)
        kid = kid_of(public)
        await asyncio.to_thread(self._write, kid, private_pem(private))
        await self._tables.add_key(KeyRow(kid, algorithm, public, now))
        self._loaded[kid] = private
        return SigningKey(kid, private)

    async def forget_retired(self) -> None:
        """Delete the private halves of keys that sign no more."""
        retired = [row.kid for row in await self._tables.keys() if row.retired_at is not None]
        for kid in retired:
            self._loaded.pop(kid, None)
            await asyncio.to_thread(self._file(kid).unlink, missing_ok=True)

    def _file(self, kid: str) -> Path:
        return self._folder / f"{kid}.pem"

    async def _private(self, row: KeyRow) -> PrivateKey | None:
        if row.kid not in self._loaded:
            pem = await asyncio.to_thread(self._read, row.kid)
            private = None if pem is None else load_private(pem)
            if private is None or public_pem(private) != row.public_key:
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
            _log.warning("a signing key cannot be read and is not used", kid=kid, reason=error.strerror)
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
            reason = (error.strerror or type(error).__name__).lower()
            _log.error("a signing key cannot be written", file=str(file), reason=reason)
            # The answer may go over a network, so it does not say where the folder is.
            raise StoreFailed(
                f"No signing key can be written into `keys` of `data_dir` ({reason}); see to that folder."
            ) from error
