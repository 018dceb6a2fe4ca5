"""Maps providers' errors to ours: a table per provider, and one for plain HTTP.

A table is an ordered list of rows; the first that matches decides. Messages are our own: a provider's text may contain
account ids or parts of the prompt, so only codes and times of a checked form are shown.
"""

import email.utils
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec

from exai.errors import (
    ContextOverflow,
    ProviderDenied,
    ProviderFailed,
    ProviderFault,
    ProviderOverloaded,
    ProviderRefused,
    ProviderThrottled,
    ProviderTimeout,
    ProviderUnauthorized,
    QuotaExhausted,
)
from exai.providers.untrusted_json import MAX_DIGITS, UnreadableJsonError, read_json

__all__ = ["BY_STATUS", "Names", "Refusal", "Row", "Verdict", "duration", "fault_of", "shown_code"]

_SAFE_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_RESET_TIME = re.compile(r"\b(\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2})\b")
_RESET_ZONE = timezone(timedelta(hours=8))
"""GLM's reset times have no zone; they are China's (providers' users, live tests)."""
_LONGEST_WAIT_S = 31 * 86_400.0
_MOST_CHARACTERS = 2_000
"""Of a code or a text that is looked at."""


class Names(msgspec.Struct, frozen=True):
    """The values that messages are filled with."""

    title: str
    model: str
    key_hint: str
    url_setting: str

    def fill(self, sentence: str, code: str) -> str:
        """Fill in `{title}`, `{model}`, `{key_hint}`, `{url_setting}` and `{code}`."""
        return sentence.format(
            title=self.title,
            model=self.model,
            key_hint=self.key_hint,
            url_setting=self.url_setting,
            code=code,
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """The error class and message for a provider's error."""

    fault: type[ProviderFault]
    sentence: str
    """May contain what `Names.fill` fills in."""

    def about(self, names: Names, code: str, retry_after_s: float | None = None) -> ProviderFault:
        """Make the error, with its message filled in."""
        sentence = names.fill(self.sentence, code)
        if retry_after_s is not None:
            sentence += f" It asks to wait {duration(retry_after_s)}."
        return self.fault(sentence, retry_after_s=retry_after_s)


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table; it matches a refusal whose code or type is one of `codes`."""

    codes: frozenset[str]
    verdict: Verdict
    text: re.Pattern[str] | None = None
    """If set, the provider's text must match too: for errors that differ in nothing else."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A provider's error response."""

    status: int
    codes: tuple[str, ...]
    """Its code and type, if it has them."""
    text: str
    """Its text: only matched against, never shown."""
    retry_after_s: float | None

    @classmethod
    def read(cls, status: int, headers: Mapping[str, str], body: bytes, now: float) -> "Refusal":
        """Parse an error response of any documented form; `now` is `Clock.wall`, for headers with dates."""
        try:
            content = read_json(body)
        except UnreadableJsonError:
            content = None
        return cls.of(status, headers, content, now)

    @classmethod
    def of(cls, status: int, headers: Mapping[str, str], content: Any, now: float) -> "Refusal":
        """Make the refusal of a decoded body."""
        codes, text = _envelope(content)
        retry_after_s = _retry_after(headers, now)
        if retry_after_s is None:
            retry_after_s = _reset_time(text, now)
        return cls(status, codes, text, retry_after_s)

    @property
    def label(self) -> str:
        """The code or type, or the HTTP status, for messages."""
        code = next((code for code in self.codes if shown_code(code) == code), None)
        if self.status == 200:
            return code or "no code"
        return f"HTTP {self.status}" if code is None else f"{code}, HTTP {self.status}"


def shown_code(code: str) -> str:
    """Return a provider's code if it looks like one; anything else is not shown."""
    return code if _SAFE_CODE.fullmatch(code) else "unreadable"


def fault_of(refusal: Refusal, table: Iterable[Row], names: Names) -> ProviderFault:
    """Make our error for a provider's refusal."""
    verdict = next((row.verdict for row in table if _fits(row, refusal)), None) or _by_status(
        _status(refusal)
    )
    # A wait makes sense only if the same request can succeed after it.
    waits = verdict.fault.retryable or issubclass(verdict.fault, QuotaExhausted)
    return verdict.about(names, refusal.label, refusal.retry_after_s if waits else None)


def _fits(row: Row, refusal: Refusal) -> bool:
    return not row.codes.isdisjoint(refusal.codes) and (
        row.text is None or row.text.search(refusal.text) is not None
    )


BY_STATUS: Mapping[int, Verdict] = {
    400: Verdict(
        ProviderRefused,
        "{title} calls the request for {model} invalid ({code}). Leave out optional arguments such as "
        "temperature, images or web search, or choose another model.",
    ),
    401: Verdict(ProviderUnauthorized, "{title} does not accept the key ({code}). Check {key_hint}."),
    402: Verdict(QuotaExhausted, "{title} says the account is out of credit ({code}). Top up there."),
    403: Verdict(
        ProviderDenied,
        "{title} does not allow this account to use {model} ({code}). Ask for access there, or choose "
        "another model.",
    ),
    404: Verdict(
        ProviderDenied,
        "{title} has no {model} for this account at this address ({code}). Check {url_setting}, or choose "
        "another model.",
    ),
    408: Verdict(ProviderTimeout, "{title} gave up waiting for the request ({code}). Try again."),
    413: Verdict(
        ContextOverflow,
        "The request is too large for {title} ({code}). Send fewer or smaller files and images.",
    ),
    429: Verdict(
        ProviderThrottled, "{title} limits how often {model} may be asked ({code}). Try again a little later."
    ),
    503: Verdict(
        ProviderOverloaded,
        "{title} has no capacity for {model} now ({code}). Try again later or use another model.",
    ),
    504: Verdict(
        ProviderTimeout,
        "A gateway of {title} gave up waiting for {model} ({code}). Try again, or ask for less.",
    ),
    529: Verdict(
        ProviderOverloaded,
        "{title} has no capacity for {model} now ({code}). Try again later or use another model.",
    ),
}
"""Errors by HTTP status, for what a provider's own table does not have."""

_REDIRECT = Verdict(
    ProviderDenied,
    "{title} answered with a redirect ({code}), which is never followed. Set {url_setting} to the final "
    "address.",
)
_SERVER_ERROR = Verdict(ProviderFailed, "{title} failed while answering ({code}). Try again later.")
_UNEXPLAINED = Verdict(
    ProviderFailed, "{title} could not answer and does not say why ({code}). Try again later."
)


def _status(refusal: Refusal) -> int:
    """Return the HTTP status; for an error inside a 200, the status that some endpoints have as its code."""
    if refusal.status != 200:
        return refusal.status
    numbers = (int(code) for code in refusal.codes if code.isascii() and code.isdigit() and len(code) == 3)
    return next((number for number in numbers if number >= 400), 200)


def _by_status(status: int) -> Verdict:
    if (known := BY_STATUS.get(status)) is not None:
        return known
    if 300 <= status < 400:
        return _REDIRECT
    if 400 <= status < 500:
        return BY_STATUS[400]
    return _SERVER_ERROR if status >= 500 else _UNEXPLAINED


def _envelope(outer: Any) -> tuple[tuple[str, ...], str]:
    """Read codes and text from `{error: {...}}`, `{error: "..."}`, `{code, msg}`, `{base_resp: {...}}` or a list
    of one of these."""
    if isinstance(outer, list) and outer:
        outer = outer[0]
    if not isinstance(outer, dict):
        return (), ""
    error, base = outer.get("error"), outer.get("base_resp")
    inner = error if isinstance(error, dict) else base if isinstance(base, dict) else outer
    codes = [inner.get(name) for name in ("code", "type", "status", "status_code")]
    texts = [inner.get(name) for name in ("message", "msg", "status_msg")]
    if isinstance(error, str):
        codes.append(error)
        texts.append(error)
    return (
        tuple(
            _shortened(code) for code in codes if isinstance(code, str | int) and not isinstance(code, bool)
        ),
        next((text for text in texts if isinstance(text, str)), "")[:_MOST_CHARACTERS],
    )


def _shortened(code: str | int) -> str:
    if isinstance(code, int) and abs(code) > 10**MAX_DIGITS:
        return ""
    return str(code)[:_MOST_CHARACTERS]


def _retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Read the seconds to wait from `Retry-After` (RFC 9110, 10.2.3: seconds or a date), or from Kimi's own header."""
    for name in ("Retry-After", "X-Retry-After"):
        if (value := headers.get(name)) is None:
            continue
        try:
            seconds = float(value)
        except ValueError:
            try:
                date = email.utils.parsedate_to_datetime(value)
            except (ValueError, TypeError, IndexError, OverflowError):
                continue
            seconds = date.replace(tzinfo=date.tzinfo or UTC).timestamp() - now
        if math.isfinite(seconds) and seconds <= _LONGEST_WAIT_S:
            return max(seconds, 0.0)
    return _rate_limit_reset(headers, now)


def _rate_limit_reset(headers: Mapping[str, str], now: float) -> float | None:
    """Read the seconds until Kimi's limit is reset, once it is used up."""
    reset = headers.get("X-RateLimit-Reset", "")
    if headers.get("X-RateLimit-Remaining") != "0" or not (reset.isascii() and reset.isdigit()):
        return None
    seconds = float(reset[:12]) - now
    return max(seconds, 0.0) if seconds <= _LONGEST_WAIT_S else None


def _reset_time(text: str, now: float) -> float | None:
    """Read the seconds until the reset from the text of GLM's plan errors."""
    if (found := _RESET_TIME.search(text)) is None:
        return None
    try:
        reset = datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=_RESET_ZONE)
    except ValueError:
        return None
    seconds = reset.timestamp() - now
    return seconds if 0 <= seconds <= _LONGEST_WAIT_S else None


def duration(seconds: float) -> str:
    """Format a wait for people, rounded up."""
    if seconds < 120:
        return f"{math.ceil(seconds)} s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{math.ceil(minutes / 60)} h"
