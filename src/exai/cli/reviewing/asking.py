"""How the tool `review` is asked: of the daemon that runs, or of one for the command alone.

| the daemon | reads |
|---|---|
| started for the command | the folder itself, which is made its root |
| runs on this machine | the folder itself; what is sent, where it lies below none of the daemon's `files.roots` |
| runs elsewhere, or `--files` is given | what is sent: the folder as a snapshot, and the change as a unified diff |

A commit that git makes of an index of its own (`git commit -a`) is always sent as a unified diff.
"""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from exai.cli.data_choice import ChosenData
from exai.cli.reviewing.choices import Place
from exai.cli.reviewing.own_change import commit_index, git_roots, own_change
from exai.cli.reviewing.review_answer import ReviewAnswer
from exai.cli.reviewing.subject import Subject
from exai.cli.terminal.own_daemon import is_listening, own_daemon
from exai.client.connection import Answer, CallFailed, connect
from exai.client.folder_sync import sync_folder
from exai.client.stored_files import (
    DaemonUnreachable,
    FileRequestFailed,
    StoredFiles,
    TokenRefused,
    open_stored_files,
)
from exai.client.tokens import client_tokens, host_of
from exai.config import client as config_client
from exai.config.values import is_loopback
from exai.errors import ExaiError
from exai.evidence.git.patches import patch_of

__all__ = ["CannotReview", "Reviewer"]

TOOL = "review"
UNSEEN = frozenset({"file_refused", "not_a_repository"})
"""Codes of a daemon that may not read the folder."""
USAGE = frozenset(
    {
        "bad_arguments",
        "not_a_repository",
        "file_refused",
        "unknown_model",
        "ability_missing",
        "unknown_conversation",
    }
)
"""Codes of what the one who calls the command got wrong."""
NAMED_LEFT_OUT = 5

OnStage = Callable[[str], None]
"""Called with a sentence about what is done."""


class CannotReview(Exception):
    """There is no review; the message says why."""

    def __init__(self, message: str, *, is_usage: bool = False) -> None:
        super().__init__(message)
        self.is_usage = is_usage
        """Whether the command was called wrongly, so that it never works this way."""


class _EmptyChange(Exception):
    """There is nothing to review."""


class Reviewer:
    """Asks for reviews."""

    def __init__(self, chosen: ChosenData, place: Place, on_stage: OnStage) -> None:
        self._chosen = chosen
        self._place = place
        self._on_stage = on_stage
        self.notes: list[str] = []
        """What the person is told besides."""

    async def review(self, subject: Subject, arguments: Mapping[str, Any]) -> ReviewAnswer:
        """Ask for a review.

        Raises:
            CannotReview: there is none.
        """
        try:
            async with self._daemon(subject) as url:
                answer = await self._ask(url, subject, arguments)
            return _read(answer)
        except _EmptyChange:
            return ReviewAnswer(answer="Nothing to review: the change is empty.")
        except (CallFailed, DaemonUnreachable, FileRequestFailed, TokenRefused) as fault:
            raise CannotReview(str(fault)) from None
        except ExaiError as fault:
            raise CannotReview(str(fault), is_usage=fault.code in USAGE) from None

    @asynccontextmanager
    async def _daemon(self, subject: Subject) -> AsyncIterator[str]:
        if self._place.url is not None:
            yield self._place.url
            return
        address = self._chosen.address
        may_start = is_loopback(self._chosen.settings.server.host)
        if address is not None and (not may_start or await is_listening(address)):
            yield address
            return
        self._on_stage("starts EXAI")
        roots = [str(root) for root in (*self._chosen.settings.files.roots, *_roots_of(subject))]
        options = self._place.serve_options(demo=self._chosen.loaded.demo)
        async with own_daemon([*options, "--set", f"files.roots={json.dumps(roots)}"]) as own:
            yield own

    async def _ask(self, url: str, subject: Subject, arguments: Mapping[str, Any]) -> Answer:
        is_here = is_loopback(host_of(url))
        sends = self._place.sends_files if self._place.sends_files is not None else not is_here
        if not sends:
            answer = await self._asked_of_folder(url, subject, arguments)
            is_unseen = answer.is_error and _code(answer) in UNSEEN and self._place.sends_files is None
            if not is_unseen:
                return answer
        async with self._sending(url, subject) as sent:
            return await self._call(url, {**arguments, **sent})

    async def _asked_of_folder(self, url: str, subject: Subject, arguments: Mapping[str, Any]) -> Answer:
        """Have the daemon read the folder, and the change too unless it is in an index of git's own."""
        named: dict[str, Any] = {"workspace": str(subject.folder)}
        if subject.change != "staged" or commit_index(subject.folder) is None:
            return await self._call(url, {**arguments, **named, **_change_of(subject, subject.change)})
        async with self._files(url) as store, self._patch(store, subject) as patch:
            return await self._call(url, {**arguments, **named, **_change_of(subject, patch)})

    @asynccontextmanager
    async def _sending(self, url: str, subject: Subject) -> AsyncIterator[dict[str, Any]]:
        """Send the folder and the change, and return the arguments that name them."""
        self._on_stage("sends what changed")
        async with self._files(url) as store, self._patch(store, subject) as patch:
            self._on_stage(f"sends {subject.folder.name}")
            synced = await sync_folder(store, subject.folder)
            left_out = [each.path for each in synced.listing.left_out]
            if left_out:
                more = len(left_out) - NAMED_LEFT_OUT
                named = ", ".join(left_out[:NAMED_LEFT_OUT]) + (f" and {more} more" if more > 0 else "")
                self.notes.append(f"Not sent: {named}.")
            # What became of findings is remembered by this name, which stays while snapshots come and go.
            known_as = {"workspace": synced.tree_id, "repository": str(subject.folder)}
            yield {**known_as, **_change_of(subject, patch)}

    @asynccontextmanager
    async def _files(self, url: str) -> AsyncIterator[StoredFiles]:
        token = None if self._place.credentials is not None else config_client.token_variable()
        file = self._place.credentials or config_client.credentials_variable()
        async with open_stored_files(url, client_tokens(url, token=token, file=file)) as store:
            yield store

    @asynccontextmanager
    async def _patch(self, store: StoredFiles, subject: Subject) -> AsyncIterator[str | None]:
        """Keep the change as a stored file within this scope; `None` where files are reviewed."""
        if subject.change is None:
            yield None
            return
        change = await asyncio.to_thread(own_change, subject.folder, subject.change)
        self.notes += change.notes
        files = [file for file in change.files if file.path not in subject.without]
        patch = patch_of(files).encode(errors="surrogateescape")
        if not patch:
            raise _EmptyChange
        digest = hashlib.sha256(patch).hexdigest()
        file = await store.put("change.diff", digest, len(patch), lambda: _whole(patch))
        try:
            yield str(file["id"])
        finally:
            with suppress(DaemonUnreachable, FileRequestFailed, TokenRefused):
                await store.remove(str(file["id"]))

    async def _call(self, url: str, arguments: Mapping[str, Any]) -> Answer:
        def receive(kind: str, text: str) -> None:
            if kind == "status":
                self._on_stage(text)

        async with connect(url, credentials=self._place.credentials) as session:
            return await session.call(TOOL, dict(arguments), on_progress=receive)


def _read(answer: Answer) -> ReviewAnswer:
    if answer.is_error:
        raise CannotReview(answer.text, is_usage=_code(answer) in USAGE)
    try:
        review = ReviewAnswer.read(answer)
    except msgspec.ValidationError as error:
        raise CannotReview(
            f"The daemon's answer is no review that this version of exai reads ({error}). Are both of one version?"
        ) from None
    if review.estimated_usd is not None and review.next_call is not None:
        raise CannotReview(
            f"Nothing was asked: this review is estimated at about ${review.estimated_usd:.4f}, more than may be spent "
            f"unasked (workflows.confirm_above_usd). Allow it by `--budget {review.next_call['budget_usd']}`."
        )
    return review


def _code(answer: Answer) -> str:
    facts = answer.meta.get("exai/error")
    return str(facts.get("code")) if isinstance(facts, dict) else ""


def _change_of(subject: Subject, change: str | None) -> dict[str, Any]:
    named = {"paths": list(subject.paths), "exclude": list(subject.without), "change": change}
    return {name: value for name, value in named.items() if value}


def _roots_of(subject: Subject) -> Sequence[Path]:
    return (subject.folder,) if subject.change is None else git_roots(subject.folder)


async def _whole(content: bytes) -> AsyncIterator[bytes]:
    yield content
