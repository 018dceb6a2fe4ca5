"""Faults by example: which are one, and which are two."""

from collections.abc import Sequence

from exai.error_tracking.faults import Fault, FaultFrame, FaultSource, RaisedException

__all__ = ["APART", "TOGETHER", "coded", "line_of_log", "raised", "thrown"]


def _fault(**facts: object) -> Fault:
    return Fault(occurrence_id="occ", at=0.0, source=FaultSource.LOG, **facts)  # type: ignore[arg-type]


def line_of_log(message: str, *, logger: str = "exai.dispatch") -> Fault:
    return _fault(message=message, logger=logger)


def frames(*places: str, first_line: int = 10, own: bool = True) -> tuple[FaultFrame, ...]:
    """Frames of `module:function`."""
    return tuple(
        FaultFrame(module, function, "/x/y.py", first_line + n, own)
        for n, (module, function) in enumerate(place.split(":") for place in places)
    )


def raised(kind: str, message: str, *places: str, detail: str = "", first_line: int = 10) -> RaisedException:
    return RaisedException(
        kind, message, detail=detail, frames=frames(*(places or ("exai.a:f",)), first_line=first_line)
    )


def thrown(*chain: RaisedException, project: int = 1, code: str | None = None) -> Fault:
    return _fault(chain=chain, project=project, code=code)


def coded(code: str, message: str = "", **facts: object) -> Fault:
    error = RaisedException("exai.errors.X", message, frames=frames("exai.a:f"))
    return _fault(chain=(error,), code=code, **facts)


def _recursion(times: int) -> Fault:
    return thrown(raised("RecursionError", "", "exai.a:start", *["exai.a:walk"] * times))


def _circle(times: int) -> Fault:
    return thrown(raised("RecursionError", "", "exai.a:start", *["exai.a:walk", "exai.a:enter"] * times))


def _key(key: str, function: str = "exai.sessions:resume") -> Fault:
    return thrown(raised("KeyError", f"'{key}'", function))


def _os(number: int, path: str = "/a/b") -> Fault:
    return thrown(
        raised("FileNotFoundError", f"[Errno {number}] No such file: '{path}'", detail=f"errno {number}")
    )


TOGETHER: Sequence[tuple[str, Fault, Fault]] = (
    (
        "ids and times",
        line_of_log("call call_0019ae21f3c04d1c failed after 12.4 s"),
        line_of_log("call call_0019ae55aa00ffee failed after 900 s"),
    ),
    (
        "a token in a message with a stack",
        thrown(raised("ApiError", "no route for (4g8hXkq2)")),
        thrown(raised("ApiError", "no route for (9zQ1aaB7)")),
    ),
    (
        "lines that moved",
        thrown(raised("ValueError", "x", first_line=10)),
        thrown(raised("ValueError", "x", first_line=400)),
    ),
    ("keys of a table", _key("a1b2c3d4"), _key("session 9")),
    ("depths of recursion", _recursion(40), _recursion(90)),
    ("depths of a circle", _circle(40), _circle(91)),
    ("numbers", line_of_log("pool of 5 exhausted"), line_of_log("pool of 20 exhausted")),
    (
        "requests of one model",
        coded("provider_throttled", "again in 3 s", provider="glm", model="glm-5.3"),
        coded("provider_throttled", "again in 60 s", provider="glm", model="glm-5.3"),
    ),
    ("paths", _os(2, "/a/b"), _os(2, "/c/d/e")),
    (
        "an incident and its cause",
        _key("x"),
        thrown(
            raised("KeyError", "'x'", "exai.sessions:resume"),
            raised("exai.errors.Incident", "Something unforeseen", "exai.dispatch:run"),
            code="internal_error",
        ),
    ),
)

APART: Sequence[tuple[str, Fault, Fault]] = (
    (
        "columns",
        line_of_log("column 'upload_method' does not exist"),
        line_of_log("column 'status' does not exist"),
    ),
    (
        "statuses of a bare type",
        thrown(raised("RuntimeError", "HTTP 429")),
        thrown(raised("RuntimeError", "HTTP 500")),
    ),
    ("numbers of the system", _os(2), _os(13)),
    (
        "numbers of the system without a stack",
        line_of_log("[Errno 2] no '/a/b'"),
        line_of_log("[Errno 13] no '/a/b'"),
    ),
    ("functions", _key("x"), _key("x", "exai.sessions:close")),
    (
        "models",
        coded("provider_throttled", provider="glm", model="glm-5.3"),
        coded("provider_throttled", provider="kimi", model="kimi-k3"),
    ),
    (
        "raised, and a cause",
        thrown(raised("ValueError", "x")),
        thrown(raised("ValueError", "x"), raised("exai.errors.StoreFailed", "not kept"), code="store_failed"),
    ),
    ("projects", thrown(raised("ValueError", "x"), project=2), thrown(raised("ValueError", "x"), project=3)),
    (
        "fields of a tool",
        coded("bad_arguments", tool="chat", facts={"field": "prompt"}),
        coded("bad_arguments", tool="chat", facts={"field": "model"}),
    ),
    (
        "messages where no field is known",
        coded("bad_arguments", "`prompt` is missing", tool="chat"),
        coded("bad_arguments", "`model` is missing", tool="chat"),
    ),
    (
        "drivers of a database",
        thrown(
            raised("asyncpg.X", "", detail="sqlstate 40001"),
            raised("exai.errors.StoreFailed", "no"),
            code="store_failed",
        ),
        thrown(
            raised("asyncpg.X", "", detail="sqlstate 53100"),
            raised("exai.errors.StoreFailed", "no"),
            code="store_failed",
        ),
    ),
    ("codes", coded("overloaded", "full"), coded("stopping", "full")),
    ("models by name", line_of_log("no answer of glm-4.6"), line_of_log("no answer of glm-5.3")),
    ("signals", line_of_log("worker ended by signal 9"), line_of_log("worker ended by signal 11")),
    ("loggers", line_of_log("x", logger="exai.a"), line_of_log("x", logger="exai.b")),
)
