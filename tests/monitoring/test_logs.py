"""What the log says, and what it never says: at any level, by anybody's logger."""

import asyncio
import io
import json
import logging
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from exai import config
from exai.monitoring.logs import (
    LONGEST_TRACEBACK,
    LONGEST_VALUE,
    MASK,
    Redaction,
    configure,
    frequent_lines,
    recent_lines,
)

SECRET = "canary-known-secret"
GLM_KEY = f"{'0123456789abcdef' * 2}.CanaryCanary1234"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJjYW5hcnkiOjF9.Canary-signature"
BODY = "canary body " * (7 * 2**20 // 12)

Configured = Callable[..., io.StringIO]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def configured() -> Iterator[Configured]:
    """Configures the log of this process onto a buffer; everything is put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    ours = logging.getLogger("exai").level
    before = structlog.get_config()
    logging.captureWarnings(False)  # or it stays with what pytest put back after an earlier test

    def start(stream: io.StringIO | None = None, **settings: Any) -> io.StringIO:
        stream = io.StringIO() if stream is None else stream
        configure(
            config.Logging.model_validate({"format": "json", **settings}), stream=stream, secrets=[SECRET]
        )
        return stream

    yield start
    structlog.configure(**before)
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("exai").setLevel(ours)
    logging.captureWarnings(False)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_our_lines_and_other_peoples_have_one_form(configured: Configured) -> None:
    stream = configured(level="debug")
    structlog.get_logger("exai.room").info("call ended", tool="chat", ms=1.5)
    logging.getLogger("exai.other").debug("by %s", "hand")
    logging.getLogger("aiohttp.client").warning("slow %d", 3)
    ours, stdlib, theirs = lines(stream)
    assert (ours["event"], ours["level"], ours["logger"]) == ("call ended", "info", "exai.room")
    assert (ours["tool"], ours["ms"]) == ("chat", 1.5)
    assert (stdlib["event"], stdlib["level"], stdlib["logger"]) == ("by hand", "debug", "exai.other")
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("slow 3", "warning", "aiohttp.client")
    assert all(line["timestamp"].endswith("Z") for line in (ours, stdlib, theirs))


def test_a_line_below_the_level_is_not_written(configured: Configured) -> None:
    stream = configured(level="warning")
    structlog.get_logger("exai.room").info("quiet")
    logging.getLogger("exai.room").info("quiet")
    structlog.get_logger("exai.room").warning("loud")
    assert [line["event"] for line in lines(stream)] == ["loud"]


@pytest.mark.parametrize(
    "name", ["aiohttp", "uvicorn.error", "sqlalchemy.engine", "mcp", "asyncio", "whoever"]
)
def test_libraries_log_from_warning_on_even_with_a_level_of_their_own(
    configured: Configured, name: str
) -> None:
    library = logging.getLogger(name)
    library.addHandler(logging.StreamHandler(io.StringIO()))
    stream = configured(level="debug")
    library.setLevel(logging.DEBUG)
    library.info("chatter")
    library.warning("trouble")
    assert [line["event"] for line in lines(stream)] == ["trouble"]


def test_warnings_of_libraries_are_lines(configured: Configured) -> None:
    stream = configured()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(f"old way, {SECRET}", DeprecationWarning, stacklevel=1)
    (line,) = lines(stream)
    assert "old way" in line["event"]
    assert SECRET not in line["event"]


@pytest.mark.parametrize(
    "text",
    [
        f"the key is {SECRET}, sorry",
        "key sk-canary0123456789 refused",
        "Authorization: Bearer canary.0123456789",
        "authorization: Basic Y2FuYXJ5OmNhbmFyeQ==canary",
        "{'Authorization': 'canary-0123456789'}",
        "X-Api-Key: canary0123",
        "Set-Cookie: session=canary0123",
        "?api_key=canary0123&x=1",
        '{"password": "canary0123"}',
        f"token {JWT} expired",
        f"a key exk_0123456789abcdef_{SECRET}x and a refresh token exr_0123456789abcdef_Canary-canary",
        f"a ticket ext_Canary-{'a' * 36}",
        f"with {GLM_KEY} in it",
        "postgresql+asyncpg://user:canary0123@host/name",
    ],
)
def test_what_looks_like_a_secret_is_masked_in_any_text(text: str) -> None:
    masked = Redaction([SECRET]).text(text)
    assert "canary" not in masked.lower()
    assert MASK in masked


@pytest.mark.parametrize(
    "text",
    [
        "max_tokens: 5000 of 32768",
        "task-force is not a key",
        "port 8079: address already in use",
        "Basic authentication is off",
        "deadbeef.txt was read",
        "https://api.z.ai/api/paas/v4/chat/completions",
        "2026-11-24T10:00:00.123456Z",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    assert Redaction([SECRET]).text(text) == text


@pytest.mark.parametrize(
    "name",
    [
        "api_key",
        "Authorization",
        "X-API-Key",
        "cookie",
        "set-cookie",
        "db_password",
        "access_token",
        "secret",
    ],
)
def test_a_value_under_a_telling_name_is_masked(configured: Configured, name: str) -> None:
    stream = configured()
    structlog.get_logger("exai.room").info("x", **{name: "ca", "headers": {name: "canary", "Accept": "*/*"}})
    (line,) = lines(stream)
    assert line[name] == MASK
    assert line["headers"] == {name: MASK, "Accept": "*/*"}


def test_counts_of_tokens_are_no_secrets(configured: Configured) -> None:
    stream = configured()
    structlog.get_logger("exai.room").info("x", input_tokens=5, token=7)
    assert (lines(stream)[0]["input_tokens"], lines(stream)[0]["token"]) == (5, 7)


def test_a_secret_inside_another_is_masked_whole() -> None:
    assert Redaction(["canary", "canary-tail"]).text("a canary-tail b") == f"a {MASK} b"


def test_a_short_secret_does_not_garble_the_log() -> None:
    assert Redaction(["key"]).text("monkey") == "monkey"


class Careless:
    def __repr__(self) -> str:
        return f"Careless({SECRET!r}, {BODY!r})"


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError(SECRET)


@pytest.mark.parametrize(
    "value",
    [
        BODY,
        BODY.encode(),
        bytearray(BODY.encode()),
        [BODY],
        {"body": BODY},
        {BODY: 1},
        {"a": {"b": {"c": {"d": {"e": BODY}}}}},
        (SECRET, {SECRET}),
        Careless(),
        Broken(),
        [SECRET] * 1000,
    ],
    ids=lambda value: type(value).__name__,
)
def test_no_body_and_no_secret_in_any_kind_of_value(configured: Configured, value: object) -> None:
    stream = configured(level="debug")
    structlog.get_logger("exai.room").debug("x", value=value, exception=value)
    logging.getLogger("aiohttp").error("value %r", value if not isinstance(value, Broken) else None)
    assert len(lines(stream)) == 2
    assert "canary" not in stream.getvalue()
    assert len(stream.getvalue()) < 10_000


def test_a_long_value_leaves_its_length(configured: Configured) -> None:
    stream = configured()
    structlog.get_logger("exai.room").info(BODY, data=b"1234", short="x" * LONGEST_VALUE)
    (line,) = lines(stream)
    assert line["event"] == f"[{len(BODY)} characters]"
    assert line["data"] == "[4 bytes]"
    assert line["short"] == "x" * LONGEST_VALUE


def test_an_exception_has_its_frames_and_no_locals_no_secret_no_body(configured: Configured) -> None:
    stream = configured()

    def fail() -> None:
        local = SECRET[:6] + "-local"
        try:
            _ = {"a": local}[SECRET]
        except KeyError as error:
            raise ValueError(BODY) from error

    try:
        fail()
    except ValueError:
        structlog.get_logger("exai.room").exception("failed")
        logging.getLogger("uvicorn.error").exception("failed")
    for line in lines(stream):
        assert "KeyError" in line["exception"]
        assert f"ValueError: [{len('ValueError: ' + BODY) + 1} characters]" in line["exception"]
        assert "in fail" in line["exception"]
        assert "canary" not in line["exception"]
        assert "exc_info" not in line


def test_an_exception_given_as_a_value_is_rendered_too(configured: Configured) -> None:
    stream = configured()
    structlog.get_logger("exai.room").error("failed", exc_info=ValueError(SECRET))
    assert lines(stream)[0]["exception"] == f"ValueError: {MASK}"


def test_a_message_of_many_lines_is_bounded_as_well() -> None:
    pieces = ["Traceback\n", *["canary\n"] * 100_000, "ValueError: the end\n"]
    text = Redaction().traceback(pieces)
    assert len(text) < LONGEST_TRACEBACK + 100
    assert text.startswith("Traceback")
    assert text.endswith("ValueError: the end")


def test_a_record_that_cannot_be_formatted_is_lost_without_its_content(
    configured: Configured, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = configured()
    logging.getLogger("aiohttp").error(*("two %s %s", SECRET))
    assert stream.getvalue() == "a line of aiohttp was lost: TypeError\n"
    assert capsys.readouterr().err == ""


def test_a_console_line_cannot_be_forged(configured: Configured) -> None:
    stream = configured(format="console")
    structlog.get_logger("exai.room").info("one\ntwo \x1b[31mred", value="a\nb\x07")
    text = stream.getvalue()
    assert text.count("\n") == 1
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "one\\ntwo" in text


@pytest.mark.parametrize(
    ("stream", "format_", "is_json"),
    [
        (io.StringIO(), "auto", True),
        (Terminal(), "auto", False),
        (Terminal(), "json", True),
        (io.StringIO(), "console", False),
    ],
)
def test_auto_means_json_unless_people_look(
    configured: Configured, stream: io.StringIO, format_: str, is_json: bool
) -> None:
    configured(stream, format=format_)
    structlog.get_logger("exai.room").info("hello", a=1)
    assert stream.getvalue().startswith("{") is is_json
    assert "hello" in stream.getvalue()


def test_a_level_that_is_off_calls_no_processor(configured: Configured) -> None:
    configured(level="info")
    log = structlog.get_logger("exai.room")
    log.info("first use")
    bound = log.bind()
    assert bound.debug.__name__ == "_nop"


PROCESS = """
import logging, sys
import structlog
import aiohttp, alembic, mcp, sqlalchemy, uvicorn, websockets
from exai import config
from exai.monitoring.logs import configure

configure(config.Logging(level="debug", format="json"), secrets=[sys.argv[1]])
body = "canary body " * (7 * 2**20 // 12)
for name in ("exai.x", "aiohttp.client", "uvicorn.error", "sqlalchemy.engine", "websockets.server", "mcp"):
    log = logging.getLogger(name)
    log.setLevel(logging.DEBUG)
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        log.log(level, "sending %s with %s", body, sys.argv[1])
        log.log(level, sys.argv[1])
        log.log(level, "headers %s", {"Authorization": "Bearer " + sys.argv[1]})
structlog.get_logger("exai.providers").debug("request", body=body, key=sys.argv[1], raw=body.encode())
try:
    raise RuntimeError(body, sys.argv[1])
except RuntimeError:
    structlog.get_logger("exai.providers").exception("failed")
sys.stderr.write("end\\n")
"""


def test_a_process_at_debug_leaks_neither_a_body_nor_a_key() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROCESS, SECRET], capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout == ""
    assert ended.stderr.endswith("end\n")
    assert "canary" not in ended.stderr
    assert len(ended.stderr) < 20_000
    assert ended.stderr.count("\n") > 4 * 3


def test_a_library_that_spells_what_a_caller_sent_says_nothing(configured: Configured) -> None:
    stream = configured(level="debug")
    with pytest.raises(FormParserError):
        MultipartParser(b"b").write(b"--canary")
    assert stream.getvalue() == ""


class GoneStream(io.StringIO):
    def write(self, _: str) -> int:
        raise BrokenPipeError


async def test_a_frequent_line_reads_like_any_other(configured: Configured) -> None:
    stream = configured()
    frequent = frequent_lines("exai.room")
    assert frequent is not None
    frequent.info("call ended", {"ms": 1.5, "usd": None}, {"tool": "chat", "caller": SECRET, "code": None})
    frequent.info("call ended", {"ms": 2}, {"tool": JWT})
    assert stream.getvalue() == "", "those of one turn are written together"
    await asyncio.sleep(0)
    structlog.get_logger("exai.room").info(
        "call ended", ms=1.5, usd=None, tool="chat", caller=SECRET, code=None
    )
    first, second, usual = lines(stream)
    assert {**first, "timestamp": ""} == {**usual, "timestamp": ""}
    assert first["caller"] == second["tool"] == MASK
    assert len(first["timestamp"]) == len(usual["timestamp"])


async def test_the_latest_lines_are_remembered_as_they_were_written(configured: Configured) -> None:
    stream = configured()
    structlog.get_logger("exai.x").warning("one", secret=SECRET, said=f"it is {SECRET}")
    lines = frequent_lines("exai.x")
    assert lines is not None
    lines.info("two", {"call_id": "call_1"}, {"caller": SECRET})
    await asyncio.sleep(0)
    remembered = recent_lines()
    assert remembered is not None
    now = datetime.now(UTC).timestamp()
    assert remembered.around(now, 60.0) == stream.getvalue().splitlines()
    assert len(remembered.around(0.0, 1.0, "call_1")) == 1
    assert SECRET not in "".join(remembered.around(now, 60.0))


async def test_a_frequent_line_whose_stream_is_gone_is_lost_without_harm(configured: Configured) -> None:
    configured(GoneStream())
    frequent = frequent_lines("exai.room")
    assert frequent is not None
    frequent.info("call ended", {}, {})
    await asyncio.sleep(0)


@pytest.mark.parametrize("settings", [{"level": "warning"}, {"format": "console"}])
def test_lines_for_a_person_or_below_the_level_go_the_usual_way(
    configured: Configured, settings: dict[str, str]
) -> None:
    configured(**settings)
    assert frequent_lines("exai.room") is None
