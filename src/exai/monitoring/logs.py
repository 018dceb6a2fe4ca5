"""The log: one formatter for our lines and those of libraries, which removes secrets and bodies.

Redaction is the formatter's own step, so nothing reaches the stream around it: known secrets wherever they
stand, texts that look like one, values under telling names. A long value is replaced by its length, since a
part of a body is still a part of a body.
"""

import asyncio
import logging
import re
import sys
import time
import traceback
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from types import TracebackType
from typing import Any, TextIO

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger
from typing_extensions import override

from exai import config
from exai.monitoring.recent.lines import RecentLines

__all__ = ["MASK", "FrequentLines", "Redaction", "configure", "frequent_lines", "recent_lines"]

MASK = "********"

LONGEST_VALUE = 1_000
"""Characters of one value; a longer one is replaced by its length."""

LONGEST_TRACEBACK = 16_000
"""Characters; of a longer one the beginning and the end stay."""

_LONGEST_NAME = 200
_MOST_MEMBERS = 50
_MOST_REPEATED = 2_000
_DEEPEST = 4
_SHORTEST_SECRET = 6
"""Characters; replacing a shorter one everywhere would garble ordinary words."""

_OURS = ("exai", "exai_emulator")
_OTHERS = ("aiohttp", "aiosqlite", "alembic", "asyncio", "dbos", "mcp", "sqlalchemy", "uvicorn", "websockets")
"""Libraries that set levels or handlers of their own; theirs are taken back."""
_SILENT = ("python_multipart",)
"""Libraries whose warnings are about what a caller sent, and spell parts of it. Who sent it is answered."""

_SECRET_NAME = re.compile(
    r"(?:^|[_-])(?:api[_-]?key|private[_-]?key|secret|password|passwd|token|authorization|cookie|credentials?)$",
    re.IGNORECASE,
)
_SECRET_TEXTS = re.compile(
    r"(?P<keep>\bbearer\s+|\bauthorization[\"']?\s*[:=]\s*[\"']?basic\s+)[\w.~+/=-]{8,}"
    r"|(?P<name>\b(?:[\w-]*(?:api[_-]?key|secret|password|passwd|token)|(?:proxy-)?authorization|(?:set-)?cookie)"
    r"[\"']?\s*[:=]\s*[\"']?)(?!(?:bearer|basic)\b)[^\s\"',;&}]{4,}"
    r"|(?P<scheme>\w://[^\s/:@]*:)[^\s/@]+(?=@)"
    r"|\bsk-[\w-]{8,}"
    r"|\beyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]*"
    r"|\bex[kr]_[0-9a-f]{16}_[\w-]{8,}"
    r"|\bext_[\w-]{43}(?![\w-])"
    r"|\b[0-9a-f]{32}\.[A-Za-z0-9]{12,}\b",
    re.IGNORECASE,
)
"""In this order: a bearer, a named value, the password of a URL, a key, a signed token, EXAI's own keys, its tickets,
a GLM key."""

_CONTROL = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}


class Redaction:
    """Removes secrets and long texts from what is logged."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # The longest first, so that a secret which contains another one is replaced whole.
        known = sorted(
            {secret for secret in secrets if len(secret) >= _SHORTEST_SECRET}, key=len, reverse=True
        )
        self._known = re.compile("|".join(map(re.escape, known))) if known else None
        self.repeated = lru_cache(maxsize=_MOST_REPEATED)(self.text)
        """`text` for what comes again and again, such as names of modules' files."""

    def text(self, text: str) -> str:
        """Return `text` without secrets; its length alone when it is long."""
        if len(text) > LONGEST_VALUE:
            return f"[{len(text)} characters]"
        return self.masked(text)

    def masked(self, text: str) -> str:
        """Return `text`, however long, without secrets."""
        return _SECRET_TEXTS.sub(_mask_match, self.known(text))

    def known(self, text: str) -> str:
        """Return `text`, however long, without the secrets that are known by their value."""
        return text if self._known is None else self._known.sub(MASK, text)

    def traceback(self, pieces: Sequence[str]) -> str:
        """Join a traceback's pieces; a long message keeps its type alone."""
        lines = []
        for piece in pieces:
            if len(piece) > LONGEST_VALUE:
                kind, colon, _ = piece.partition(":")
                piece = f"{kind[:_LONGEST_NAME]}{colon} [{len(piece)} characters]\n"  # noqa: PLW2901
            lines.append(self.masked(piece))
        text = "".join(lines).rstrip("\n")
        if len(text) > LONGEST_TRACEBACK:
            half = LONGEST_TRACEBACK // 2
            return f"{text[:half]}\n[{len(text) - 2 * half} characters]\n{text[-half:]}"
        return text

    def value(self, value: object, depth: int = 0) -> Any:
        """Turn any value into plain data without secrets."""
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, bytes | bytearray):
            return f"[{len(value)} bytes]"
        if isinstance(value, Mapping | list | tuple | AbstractSet):
            return self._members(value, depth + 1)
        try:
            return self.text(repr(value))
        except Exception:  # noqa: BLE001 - a broken `__repr__` must not cost the line
            return f"[{type(value).__name__}]"

    def member(self, name: str, value: object, depth: int = 0) -> Any:
        """Do the same for a value under a name, which may show that it is a secret."""
        if isinstance(value, str | bytes) and _SECRET_NAME.search(name):
            return MASK
        return self.value(value, depth)

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """Redact every value of a line, as a processor; the exception itself is rendered later, by `traceback`."""
        return {
            name: value if name == "exc_info" else self.member(name, value) for name, value in event.items()
        }

    def _members(self, container: Collection[Any], depth: int) -> Any:
        if depth > _DEEPEST:
            return f"[{type(container).__name__}]"
        more = len(container) - _MOST_MEMBERS
        if isinstance(container, Mapping):
            shown = islice(container.items(), _MOST_MEMBERS)
            named = {self.text(str(name)): self.member(str(name), value, depth) for name, value in shown}
            return {**named, "...": f"[{more} more]"} if more > 0 else named
        members = [self.value(member, depth) for member in islice(container, _MOST_MEMBERS)]
        return [*members, f"[{more} more]"] if more > 0 else members


def configure(settings: config.Logging, *, stream: TextIO | None = None, secrets: Iterable[str] = ()) -> None:
    """Configure this process's log to go to `stream` (stderr by default), once at start.

    `secrets` are replaced wherever they appear; `exai.config.tree.secret_values` has those of the settings.
    Loggers of libraries log from `warning` on, whatever our own level is.
    """
    stream = sys.stderr if stream is None else stream
    level: int = getattr(logging, settings.level.upper())
    redaction = Redaction(secrets)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    as_console = settings.format == "console" or (settings.format == "auto" and stream.isatty())
    handler = _Handler(stream, None if as_console else redaction)
    handler.addFilter(_is_ours_or_grave)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                redaction,
                _render_exception(redaction),
                *(_console(stream) if as_console else (structlog.processors.JSONRenderer(),)),
            ],
        )
    )
    _install(handler, level)


class _Handler(logging.StreamHandler[TextIO]):
    """Writes lines; a record that cannot be formatted or written is lost without quoting its content."""

    def __init__(self, stream: TextIO, json_redaction: Redaction | None) -> None:
        """`json_redaction` is that of lines in JSON; `None`: they are for a person."""
        super().__init__(stream)
        self.json_redaction = json_redaction
        self.recent = RecentLines()

    @override
    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        self.recent.add(record.created, line)
        return line

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        kind = sys.exc_info()[0]
        try:
            self.stream.write(f"a line of {record.name} was lost: {kind.__name__ if kind else 'unknown'}\n")
        except (OSError, ValueError):
            return  # The stream is gone; there is nowhere to say so.


class FrequentLines:
    """Writes lines that come with every call, in JSON, of plain values whose texts are short and mostly the same.

    They look like all other lines, and cost a tenth: they go through none of logging's steps but the redaction, and
    those of one turn of the event loop are written together.
    """

    def __init__(self, logger_name: str, handler: _Handler, redaction: Redaction) -> None:
        self._logger_name = logger_name
        self._handler = handler
        self._redacted = lru_cache(maxsize=1_024)(redaction.text)
        self._lines: list[bytes] = []

    def info(self, event: str, known: Mapping[str, object], texts: Mapping[str, str | None]) -> None:
        """Write a line with values that can hold no secret, and with texts that are redacted."""
        if not self._lines:
            asyncio.get_running_loop().call_soon(self._flush)
        redacted = self._redacted
        self._lines.append(
            msgspec.json.encode(
                {
                    **known,
                    **{name: None if text is None else redacted(text) for name, text in texts.items()},
                    "event": event,
                    "logger": self._logger_name,
                    "level": "info",
                    "timestamp": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
                }
            )
        )

    def _flush(self) -> None:
        lines, self._lines = self._lines, []
        handler = self._handler
        with handler.lock or nullcontext():
            now = time.time()
            for line in lines:
                handler.recent.add(now, line.decode())
            try:
                handler.stream.write(b"\n".join([*lines, b""]).decode())
                handler.flush()
            except (OSError, ValueError):
                return  # The stream is gone; there is nowhere to say so.


def frequent_lines(logger_name: str) -> FrequentLines | None:
    """Return what writes lines at `info` of a logger of ours; `None` where they go the usual way, or nowhere."""
    if not logging.getLogger(logger_name).isEnabledFor(logging.INFO):
        return None
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _Handler) and handler.json_redaction is not None:
            return FrequentLines(logger_name, handler, handler.json_redaction)
    return None


def recent_lines() -> RecentLines | None:
    """Return the latest lines of this process's log; `None` where it is not configured."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _Handler):
            return handler.recent
    return None


def _install(handler: logging.Handler, level: int) -> None:
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(max(level, logging.WARNING))
    for name in _OURS:
        logging.getLogger(name).setLevel(level)
    others = [name for name in logging.Logger.manager.loggerDict if name.partition(".")[0] in _OTHERS]
    for name in (*_OTHERS, *others):
        logger = logging.getLogger(name)
        logger.setLevel(logging.NOTSET)
        logger.handlers.clear()
        logger.propagate = True
    for name in _SILENT:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.captureWarnings(True)


def _is_ours_or_grave(record: logging.LogRecord) -> bool:
    """Filter records, also those of a library that sets its logger's level after us."""
    return record.levelno >= logging.WARNING or record.name.partition(".")[0] in _OURS


def _render_exception(redaction: Redaction) -> Processor:
    def render(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """Render the traceback as text, without local variables."""
        error = _exception(event.pop("exc_info", None))
        if error is not None:
            event["exception"] = redaction.traceback(traceback.format_exception(error))
        return event

    return render


def _exception(
    exc_info: BaseException | tuple[type[BaseException], BaseException, TracebackType | None] | bool | None,
) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return exc_info[1]
    return sys.exc_info()[1] if exc_info else None


def _console(stream: TextIO) -> tuple[Callable[..., Any], ...]:
    def escape(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """Escape control characters, so that a value can neither forge a line nor control the terminal."""
        for name, value in event.items():
            if isinstance(value, str):
                clean = value.translate(_CONTROL)
                event[name] = clean if name == "exception" else clean.replace("\n", "\\n")
        return event

    renderer = structlog.dev.ConsoleRenderer(
        colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
    )
    return escape, renderer


def _mask_match(found: re.Match[str]) -> str:
    return f"{found['keep'] or found['name'] or found['scheme'] or ''}{MASK}"
