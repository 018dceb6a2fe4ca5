"""Asks an OpenAI-compatible endpoint: one request, one answer or one error.

No request is sent twice, with one exception: on a kept connection that the server closed just when it was reused. The
differences between endpoints are in their `Profile`.
"""

import asyncio
import io
import math
from collections.abc import Callable, Coroutine, Mapping
from email.utils import parsedate_to_datetime
from functools import partial
from types import MappingProxyType
from typing import Any

import aiohttp
import msgspec
import structlog
from pydantic import SecretStr
from yarl import URL

from exai.errors import (
    DeadlineExceeded,
    ProviderDenied,
    ProviderFailed,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnconfigured,
    ProviderUnreachable,
    StartFault,
    Stopping,
)
from exai.messages import Effort
from exai.providers.base import Charges, Completion, OnDelta, Prompt, Reached, Shared
from exai.providers.catalog import Model
from exai.providers.faults import Names, Row
from exai.providers.pictures import NO_PICTURES, Shown, fit_pictures, pictures_of, refuse_too_much
from exai.providers.profile import Profile
from exai.providers.remote_files.attachments import (
    attachments_of,
    forget_missing_files,
    refuse_attachments,
    with_files,
)
from exai.providers.remote_files.copies import AccountCopies
from exai.providers.remote_files.file_store import ENTRY_BYTES, FileReply, FileRequest
from exai.providers.remote_files.pictures import PictureUploads
from exai.providers.untrusted_json import UnreadableJsonError, as_count, read_json
from exai.providers.wire.connections import Attempt, open_session
from exai.providers.wire.exchange import BROKEN, Exchange, Patience, Waits
from exai.providers.wire.plain_reply import PlainReply
from exai.providers.wire.request_body import RequestBody, request_body
from exai.runtime.version import __version__

__all__ = ["OpenAiCompatible", "bearer", "usable_key"]

LONG_PROMPT = 100_000
"""From this many characters on, and with pictures, a prompt is encoded in a thread."""

LARGE_BODY_BYTES = 2**20
"""Above this, aiohttp gets a file to send in pieces, so that it does not block the event loop."""

STALE_WITHIN_S = 1.0
"""A reused connection that breaks this soon, before any byte was received, was closed before it was reused."""

STALE_RETRIES = 2

LONGEST_POST_S = 60.0
"""The limit for a service beside chat; Kimi's searches take no longer."""

COUNT_S = 10.0
"""How long the provider may take to count a prompt; after that the estimate is used."""

TEMPLATE_TOKENS = 1_000
"""What a provider may add to any prompt, generously."""

_log = structlog.get_logger(__name__)


Content = bytes | io.BytesIO | aiohttp.MultipartWriter | None
"""The content of a request."""


NO_SUCH_LIST = frozenset({404, 405, 501})
"""Statuses of an endpoint that does not list its models."""


def _nothing() -> None:
    return None


def _ahead(date: str | None, now: float) -> float | None:
    """Return how many seconds a server's `Date` is ahead of `now`; `None` without a valid one."""
    try:
        return parsedate_to_datetime(date or "").timestamp() - now
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _is_streamed(prompt: Prompt, on_delta: OnDelta | None) -> bool:
    """Tell whether an answer is streamed: one that is not sends nothing before its end, so where a model may think."""
    model = prompt.model
    thinks = bool(model.efforts) and model.effort_used(prompt.effort) is not Effort.NONE
    return on_delta is not None or thinks


def _sendable(body: bytes) -> Content:
    return body if len(body) <= LARGE_BODY_BYTES else io.BytesIO(body)


def _counted(reply: bytes, body_bytes: int) -> int | None:
    """Read the count of a prompt whose request has `body_bytes`; a token of it is a byte at least."""
    try:
        content = read_json(reply)
    except UnreadableJsonError:
        return None
    data = content.get("data") if isinstance(content, dict) else None
    return (
        as_count(data.get("total_tokens"), body_bytes + TEMPLATE_TOKENS) if isinstance(data, dict) else None
    )


async def _read_entry(response: aiohttp.ClientResponse, most_bytes: int = ENTRY_BYTES) -> bytes:
    body = bytearray()
    while len(body) < most_bytes and (chunk := await response.content.readany()):
        body += chunk
    return bytes(body)


def usable_key(secret: SecretStr | None, where: str) -> str | None:
    """Return the key, or `None` when none is set; `where` says where it is set.

    Raises:
        StartFault: it has characters that are not allowed in an HTTP header.
    """
    key = secret.get_secret_value().strip() if secret is not None else ""
    if not key:
        return None
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise StartFault(f"The key in {where} has blanks or unusual characters inside. Copy it again.")
    return key


def bearer(key: str) -> Callable[[], str]:
    """Return what makes the header's value: the key as a bearer token."""
    value = f"Bearer {key}"
    return lambda: value


class OpenAiCompatible:
    """A `Provider` behind `POST {base_url}/chat/completions`; connections are opened on the first call."""

    def __init__(
        self,
        *,
        name: str,
        profile: Profile,
        models: Mapping[str, Model],
        base_url: str,
        authorization: Callable[[], str | None] | None,
        shared: Shared,
        copies: AccountCopies | None = None,
        pictures: PictureUploads | None = None,
    ) -> None:
        """`authorization` returns the header's value for each request; `None`: no key is set.

        `copies` are those in the provider's file store; `pictures` keeps large pictures there, and without it they are
        sent inside the requests.
        """
        self._name = name
        self._work = shared.work
        self.copies = copies
        self._pictures = pictures
        self._profile = profile
        self._models = MappingProxyType(dict(models))
        self._root = base_url.rstrip("/")
        self._url = URL(f"{self._root}/chat/completions").update_query(profile.query)
        self._authorization = authorization
        self._timeouts = shared.timeouts
        self._clock = shared.clock
        self._session: aiohttp.ClientSession | None = None
        self._closed = False
        self._headers = {
            "Content-Type": "application/json",
            "User-Agent": f"exai/{__version__}",
            # A compressed stream would arrive in blocks instead of tokens.
            "Accept-Encoding": "identity",
            **profile.headers,
        }

    @property
    def name(self) -> str:
        return self._name

    @property
    def configured(self) -> bool:
        return self._authorization is not None

    @property
    def models(self) -> Mapping[str, Model]:
        return self._models

    @property
    def key_hint(self) -> str:
        """Where its key is set, for messages."""
        return self._profile.key_hint

    def unconfigured(self, model: str) -> ProviderUnconfigured:
        """Make the error for asking `model` without a key."""
        return ProviderUnconfigured(
            f"No key is set for {self._profile.title}, so {model} cannot be asked. Set "
            f"{self._profile.key_hint}."
        )

    async def close(self) -> None:
        self._closed = True
        if self._session is not None:
            await self._session.close()

    def complete(
        self,
        prompt: Prompt,
        *,
        deadline: float,
        on_delta: OnDelta | None = None,
        charges: Charges | None = None,
    ) -> Coroutine[Any, Any, Completion]:
        """See `Provider.complete`.

        Raises:
            ProviderFault: the provider failed, or refused.
            AbilityMissing: the model cannot do what the prompt needs.
            FileRefused: a picture cannot be made to fit the model.
            DeadlineExceeded: `deadline` passed first.
        """
        if self._authorization is None:
            raise self.unconfigured(prompt.model.name)
        charges = Charges() if charges is None else charges
        for message in prompt.messages:
            if message.images or message.attachments:
                return self._complete_with_files(prompt, deadline, on_delta, charges)
        return self._ask(prompt, NO_PICTURES, deadline, on_delta, charges)

    def file_request(self, deadline: float) -> FileRequest:
        """Return what sends requests to the provider's file store until a moment of `Clock.monotonic`."""
        return partial(self._file_request, deadline)

    def counts_tokens(self, prompt: Prompt) -> bool:
        """See `Provider.counts_tokens`. Pictures and files are not sent for it; prompts with some are not counted."""
        return (
            self._profile.count_path is not None
            and self._authorization is not None
            and not any(message.images or message.attachments for message in prompt.messages)
        )

    async def count_tokens(self, prompt: Prompt, *, deadline: float, charges: Charges | None = None) -> int:
        """See `Provider.count_tokens`."""
        assert self._profile.count_path is not None, "it counts tokens"  # noqa: S101 - `counts_tokens` says so
        bare = Prompt(model=prompt.model, messages=prompt.messages)
        body = request_body(bare, self._profile, streams=False).json
        url = URL(self._root + self._profile.count_path)
        try:
            async with asyncio.timeout(min(deadline - self._clock.monotonic(), COUNT_S)):
                response, _ = await self._open("POST", url, lambda: _sendable(body), charges)
                try:
                    cause = f"status {response.status}"
                    if response.status == 200:
                        if (count := _counted(await _read_entry(response), len(body))) is not None:
                            return count
                        cause = "no count"
                finally:
                    response.close()
        except (TimeoutError, aiohttp.ClientError) as error:
            cause = type(error).__name__
        _log.warning("a provider did not count a prompt", provider=self._name, cause=cause)
        raise ProviderFailed(f"{self._profile.title} did not count a prompt ({cause}).")

    async def _complete_with_files(
        self, prompt: Prompt, deadline: float, on_delta: OnDelta | None, charges: Charges
    ) -> Completion:
        refuse_attachments(attachments_of(prompt), prompt.model, has_store=self.copies is not None)
        prompt, notes = await fit_pictures(prompt, self._work.pictures)
        request = self.file_request(deadline)
        began = self._clock.monotonic()
        shown = await self._shown(prompt, request)
        try:
            completion = await self._ask(prompt, shown.with_notes(notes), deadline, on_delta, charges)
        except (ProviderRefused, ProviderDenied):
            # A file that is gone explains any refusal, and can be uploaded again.
            if not await self._forget_missing(prompt, shown, request):
                raise
            shown = await self._shown(prompt, request)
            completion = await self._ask(prompt, shown.with_notes(notes), deadline, on_delta, charges)
        timings = completion.timings
        asked_ms = timings.connect_ms + timings.first_token_ms + timings.generation_ms
        timings.first_token_ms += max(0.0, (self._clock.monotonic() - began) * 1000 - asked_ms)
        return completion

    async def _shown(self, prompt: Prompt, request: FileRequest) -> Shown:
        """Put into the provider's file store what the request names there."""
        shown = NO_PICTURES
        if self._pictures is not None:
            shown = await self._pictures.shown(pictures_of(prompt), prompt.owner, request)
        return shown if self.copies is None else await with_files(prompt, shown, self.copies, request)

    async def _forget_missing(self, prompt: Prompt, shown: Shown, request: FileRequest) -> bool:
        found = self._pictures is not None and await self._pictures.forget_missing(shown, request)
        if self.copies is None:
            return found
        return await forget_missing_files(prompt, shown, self.copies, request) or found

    async def _ask(
        self, prompt: Prompt, shown: Shown, deadline: float, on_delta: OnDelta | None, charges: Charges
    ) -> Completion:
        if shown.uploaded:
            charges.services["file"] += shown.uploaded
        model = prompt.model
        effort = model.effort_used(prompt.effort)
        streams = _is_streamed(prompt, on_delta)
        body = await self._encode(prompt, shown, streams=streams)
        exchange = Exchange(self._profile, prompt, on_delta, self._clock)
        left = deadline - self._clock.monotonic()
        if left <= 0:
            raise exchange.too_late(0.0)
        waits = Waits(Patience(self._timeouts, effort, streams=streams), left)
        try:
            with waits.scope:
                response, attempt = await self._open("POST", self._url, lambda: _sendable(body.json), charges)
                try:
                    await exchange.read(response, attempt, waits)
                finally:
                    # Closes the connection, unless the response was read completely and it is back in the pool.
                    response.close()
        except BROKEN as broken:
            if not exchange.is_answered:
                raise exchange.fault(broken) from broken
        except TimeoutError:
            if not exchange.is_answered:
                raise exchange.timed_out(waits) from None
        finally:
            exchange.note(charges)
        return exchange.completion(self._name, body.notes)

    async def reach(self, *, within_s: float) -> Reached:
        """See `Provider.reach`."""
        about = "list of models"
        if self._authorization is None:
            raise self.unconfigured(about)
        profile = self._profile
        reply = PlainReply(
            Names(profile.title, about, profile.key_hint, profile.url_setting), profile.errors, self._clock
        )
        async with reply.within(math.inf, within_s):
            url = URL(f"{self._root}/models").update_query(profile.query)
            response, _ = await self._open("GET", url, _nothing)
            try:
                ahead_s = _ahead(response.headers.get("Date"), self._clock.wall())
                if response.status in NO_SUCH_LIST:
                    return Reached(lists_models=False, ahead_s=ahead_s)
                await reply.read(response)
                return Reached(lists_models=True, ahead_s=ahead_s)
            finally:
                response.close()

    async def post(
        self,
        path: str,
        fields: Mapping[str, Any],
        *,
        about: str,
        errors: tuple[Row, ...],
        deadline: float,
        charges: Charges,
    ) -> bytes:
        """Ask a service beside chat; `about` names it in messages, `errors` has its errors.

        A refusal clears `charges`; what a reply costs is for whoever asks to note.

        Raises:
            ProviderFault: the provider failed, or refused.
            DeadlineExceeded: `deadline` passed first.
        """
        if self._authorization is None:
            raise self.unconfigured(about)
        profile = self._profile
        reply = PlainReply(
            Names(profile.title, about, profile.key_hint, profile.url_setting), errors, self._clock
        )
        async with reply.within(deadline, min(self._timeouts.first_byte_s, LONGEST_POST_S)):
            url = URL(f"{self._root}{path}").update_query(profile.query)
            body = msgspec.json.encode(fields)
            response, _ = await self._open("POST", url, lambda: body, charges)
            if response.status != 200:
                charges.clear()
            try:
                return await reply.read(response)
            finally:
                response.close()

    async def request_of(self, prompt: Prompt) -> bytes:
        """See `Provider.request_of`."""
        return (await self._encode(prompt, NO_PICTURES, streams=_is_streamed(prompt, None))).json

    async def _encode(self, prompt: Prompt, shown: Shown, *, streams: bool) -> RequestBody:
        if shown is not NO_PICTURES:
            refuse_too_much(prompt, shown)
        encode = partial(request_body, prompt, self._profile, streams=streams, shown=shown)
        if shown is NO_PICTURES and sum([len(message.text) for message in prompt.messages]) < LONG_PROMPT:
            return encode()
        return await self._work.texts.run(prompt.owner, encode)

    async def _file_request(
        self,
        deadline: float,
        method: str,
        path: str,
        form: Callable[[], aiohttp.MultipartWriter] | None = None,
        *,
        most_bytes: int = ENTRY_BYTES,
    ) -> FileReply:
        """Send one request to the provider's file store; see `FileRequest`.

        Raises:
            ProviderFault: there was no complete answer.
            DeadlineExceeded: `deadline` passed first.
        """
        title = self._profile.title
        left = deadline - self._clock.monotonic()
        try:
            async with asyncio.timeout(min(left, self._timeouts.upload_s)):
                # A file that is sent twice would lie there twice: who sends it looks for the first one.
                retries = STALE_RETRIES if form is None else 0
                url = URL(self._root + path)
                response, _ = await self._open(method, url, form or _nothing, retries=retries)
                try:
                    body = await _read_entry(response, most_bytes + 1)
                    is_cut = len(body) > most_bytes
                    return FileReply(response.status, response.headers, body[:most_bytes], is_cut)
                finally:
                    response.close()
        except TimeoutError:
            if left <= self._timeouts.upload_s:
                raise DeadlineExceeded(
                    f"The time of this call ran out while {title}'s file store was asked. Send fewer or smaller "
                    "pictures."
                ) from None
            raise ProviderTimeout(
                f"{title}'s file store did not answer within the time allowed. Try again, or raise timeouts.upload_s."
            ) from None
        except aiohttp.ClientError as error:
            raise ProviderUnreachable(
                f"The connection to {title} broke while its file store was asked. Try again."
            ) from error

    async def _open(
        self,
        method: str,
        url: URL,
        content: Callable[[], Content],
        charges: Charges | None = None,
        *,
        retries: int = STALE_RETRIES,
    ) -> tuple[aiohttp.ClientResponse, Attempt]:
        """Send one request; return when the head of its response has arrived.

        `content` is called again if a kept connection turns out to be closed.

        Each time that it leaves is noted in `charges`, as the provider may charge for each.
        """
        session = self._open_session()
        authorization = self._authorization() if self._authorization is not None else None
        headers = {} if authorization is None else {self._profile.key_header: authorization}
        while True:
            began = self._clock.monotonic()
            data = content()
            if isinstance(data, aiohttp.MultipartWriter):
                headers["Content-Type"] = data.content_type
            with Attempt() as attempt:
                try:
                    response = await session.request(
                        method, url, data=data, headers=headers, allow_redirects=False
                    )
                except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                    stale = attempt.reused and self._clock.monotonic() - began <= STALE_WITHIN_S
                    if not (stale and retries):
                        raise
                    retries -= 1
                else:
                    return response, attempt
                finally:
                    if charges is not None and attempt.connected:
                        charges.leave()

    def _open_session(self) -> aiohttp.ClientSession:
        if self._closed:
            raise Stopping("The server is shutting down. Try again in a moment.")
        if self._session is None:
            self._session = open_session(self._headers, self._timeouts, self._clock)
        return self._session
