"""Copies at all providers that keep files: sends contents, reads their text, and deletes what is not needed."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Literal, Protocol

from exai import config
from exai.errors import DeadlineExceeded, ProviderFault, ProviderUnconfigured
from exai.messages import Source
from exai.providers.remote_files.comparison import CopyComparison
from exai.providers.remote_files.copies import AccountCopies, Copy
from exai.providers.remote_files.faults import FileNotReadYet, PurposeUnknown
from exai.providers.remote_files.file_store import FileRequest
from exai.providers.remote_files.older_copies import OlderCopy, adopted
from exai.runtime.clock import Clock
from exai.storage.files.copies import CopyTables
from exai.storage.files.copy_rows import CondemnedCopy, Method, Store

__all__ = ["FileHost", "RemoteFiles"]

EXTRACT = "file-extract"
"""The purpose for which a provider reads the text of a document."""
TEXT_PAUSE_S = 0.5
TEXT_LONGEST_PAUSE_S = 5.0


class FileHost(Protocol):
    """A provider that keeps files."""

    @property
    def copies(self) -> AccountCopies | None:
        """`None`: it keeps none, or has no key."""
        ...

    def file_request(self, deadline: float) -> FileRequest:
        """Return what sends requests to its file store until a moment of `Clock.monotonic`."""
        ...


class RemoteFiles:
    """The copies at each provider, by its name."""

    def __init__(
        self,
        hosts: Mapping[str, FileHost],
        tables: CopyTables,
        clock: Clock,
        settings: config.Files,
        *,
        request_s: float,
    ) -> None:
        """`request_s` is how long may take what no call waits for."""
        self._hosts = hosts
        self._tables = tables
        self._clock = clock
        self._settings = settings
        self._request_s = request_s

    @property
    def stores(self) -> dict[str, Store]:
        """The accounts that can be asked, by provider."""
        hosts = ((name, host.copies) for name, host in self._hosts.items())
        return {name: copies.files.store for name, copies in hosts if copies is not None}

    def check(self, source: Source, to: str, purpose: str) -> None:
        """See that a provider takes a content of this size and kind, before anything of it is read.

        Raises:
            PurposeUnknown, FileEmpty, FileTooLargeForProvider: it does not.
            ProviderUnconfigured: the provider has no key.
        """
        copies, _ = self._at(to, self._clock.monotonic())
        copies.files.check(source, purpose)

    async def copy(
        self, owner: str, source: Source, to: str, purpose: str, method: Method, *, deadline: float
    ) -> Copy:
        """Return the owner's copy of a content at a provider for a purpose, after sending it if needed.

        Raises:
            PurposeUnknown, FileTooLargeForProvider, ProviderFilesFull: it was not sent.
            FileUnreadable, CopyUnwanted: it was sent, and is deleted there again.
            ProviderUnconfigured: the provider has no key.
            ProviderFault: the provider failed, or refused.
            DeadlineExceeded: `deadline` passed first.
            StoreFailed: what is there cannot be noted; it was deleted again, or will be.
        """
        copies, request = self._at(to, deadline)
        return await copies.copy(owner, source, purpose, method, request, wait_until=deadline)

    async def text(self, owner: str, source: Source, at: str, *, deadline: float) -> str:
        """Have a provider read the text of a document. The copy is condemned when this returns, unless it is kept.

        Raises:
            FileUnreadable: it has no text for the provider.
            PurposeUnknown: the provider reads no text.
            Exception: see `copy`.
        """
        copies, request = self._at(at, deadline)
        if not copies.files.dialect.has_text:
            raise PurposeUnknown(f"{copies.files.names.title} reads no text of documents.")
        copy = await copies.copy(owner, source, EXTRACT, Method.EXTRACT, request, wait_until=deadline)
        try:
            return await self._text(copies, copy, request, deadline)
        finally:
            if not self._settings.keep_copies:
                await asyncio.shield(self._condemn(copy))

    async def condemn_unused(self) -> int:
        """Decide that copies which were not used for long are deleted; how many there were. Old proofs are forgotten.

        Raises:
            StoreFailed: the database did not keep it.
        """
        await self._tables.prune(self._clock.utc() - timedelta(days=self._settings.keep_proof_days))
        return sum([await copies.condemn_unused() for copies in self._all()])

    async def settle_lost(self) -> int:
        """Look for copies whose answer was lost, at each provider that can be asked; how many are settled now.

        Raises:
            StoreFailed: the database did not keep it.
            ProviderFault: a provider failed; what others have is settled.
        """
        settled, failed = 0, None
        for host in self._hosts.values():
            if host.copies is not None:
                try:
                    settled += await host.copies.settle_lost(self._within(host))
                except (ProviderFault, DeadlineExceeded) as fault:
                    failed = fault
        if failed is not None:
            raise failed
        return settled

    async def delete(self, store: Store, file_id: str) -> Literal["deleted", "not_found"]:
        """Delete a file at a provider; how it is known that it is gone.

        Raises:
            ProviderFault: the provider did not do it, or is not configured.
        """
        host = self._hosts.get(store.provider)
        if host is None:
            raise ProviderUnconfigured(f"No provider is configured under the name {store.provider}.")
        if host.copies is None or host.copies.files.store != store:
            raise ProviderUnconfigured(
                f"The file lies in an account of {store.provider} whose key is not set. Set that key again, or "
                "delete the file in the provider's console."
            )
        return await host.copies.delete(file_id, self._within(host))

    def comparisons(self) -> dict[str, CopyComparison]:
        """Return what compares the copies of each account that can be asked, by provider."""
        return {
            name: CopyComparison(host.copies.files, partial(self._within, host), self._tables, self._clock)
            for name, host in self._hosts.items()
            if host.copies is not None
        }

    async def adopt(self, known: OlderCopy, owner: str) -> bool:
        """Take a copy of an older installation in; false if it is known, or its content has a copy already.

        Raises:
            PurposeUnknown: the provider is not known.
            ProviderUnconfigured: the provider has no key, so it is not known in which account the file lies.
            StoreFailed: it was not kept.
        """
        copies, _ = self._at(known.provider, self._clock.monotonic())
        return await self._tables.adopt(
            adopted(known, owner, copies.files.store, copies.files.dialect, self._clock.utc())
        )

    async def confirm_deleted(self, file: CondemnedCopy, confirmed_by: str) -> None:
        """Note that a file is gone at its provider.

        Raises:
            StoreFailed: it was not noted.
        """
        store = Store(file.provider, file.account)
        await self._tables.end_deleting(store, file.provider_file_id, confirmed_by, self._clock.utc())

    def _all(self) -> list[AccountCopies]:
        return [host.copies for host in self._hosts.values() if host.copies is not None]

    def _at(self, provider: str, deadline: float) -> tuple[AccountCopies, FileRequest]:
        host = self._hosts.get(provider)
        if host is None:
            known = ", ".join(sorted(self._hosts))
            raise PurposeUnknown(f"{provider} keeps no files; these do: {known}.")
        if host.copies is None:
            raise ProviderUnconfigured(f"No key is set for {provider}, so no file can be sent there.")
        return host.copies, host.file_request(deadline)

    def _within(self, host: FileHost) -> FileRequest:
        return host.file_request(self._clock.monotonic() + self._request_s)

    async def _text(self, copies: AccountCopies, copy: Copy, request: FileRequest, deadline: float) -> str:
        """Read the text once it is there; reading it may take the provider a while."""
        pause = TEXT_PAUSE_S
        while self._clock.monotonic() + pause < deadline:
            text = await copies.files.text(copy.file_id, request)
            if text is not None:
                return text
            await asyncio.sleep(pause)
            pause = min(pause * 2, TEXT_LONGEST_PAUSE_S)
        raise FileNotReadYet(
            f"{copies.files.names.title} did not read the file in the time of this call. Try again later, or send a "
            "smaller one."
        )

    async def _condemn(self, copy: Copy) -> None:
        await self._tables.condemn([copy.copy_id], self._clock.utc())
