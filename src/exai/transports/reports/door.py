"""The routes of reports. Each is open to everybody: what counts is the key of a project, which reports and no more.

| route | body |
|---|---|
| `POST /api/{project}/envelope/`, `/api/{project}/store/`, also below a prefix | of Sentry SDKs, packed or not |
| `POST /v1/errors` | an array of reports, see `error_tracking/ingestion/native.py` |
| `POST /v1/logs` | OTLP logs in JSON |

The first two are for browsers of any page too: they alone ask for no Origin of ours, and allow any by CORS, without
credentials. A key comes in `X-Sentry-Auth`, in the query as `sentry_key` (which nothing logs), or, on the last two, as
`Authorization: Bearer <project>:<key>`.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import product
from types import MappingProxyType
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.types import Scope

from exai.auth.attempts import Attempts
from exai.callers import Door
from exai.config import Server
from exai.error_tracking.faults import Fault
from exai.error_tracking.ingestion.bodies import LARGEST, ReportRefused, decoded, unpacked
from exai.error_tracking.ingestion.envelope import read_envelope
from exai.error_tracking.ingestion.intake import KeyRefused, ReportIntake, TooManyReports
from exai.error_tracking.ingestion.native import faults_of_reports
from exai.error_tracking.ingestion.otlp_logs import faults_of_logs
from exai.error_tracking.ingestion.sentry_events import event_id_of, fault_of_event, lost_of_report
from exai.errors import ExaiError
from exai.events.events import CallerRefused, Event
from exai.runtime.clock import Clock
from exai.runtime.worker_pool import WorkerPool
from exai.storage.error_tracking.projects import Intake, Project
from exai.web.bodies import WholeBody
from exai.web.refusals import json_fault
from exai.web.requests import AuthorizedRequest
from exai.web.routes import Handler, Route

__all__ = ["ReportDoor"]

MOST_PREFIXES = 2
"""Segments that a proxy may have before `/api`."""
LONG = 50_000
"""Bytes of a body from which on it is read in a thread."""

CORS: Mapping[str, str] = MappingProxyType(
    {
        "access-control-allow-origin": "*",
        "access-control-allow-methods": "POST",
        "access-control-allow-headers": "content-type, content-encoding, x-sentry-auth, sentry-trace, baggage",
        "access-control-expose-headers": "x-sentry-rate-limits, retry-after",
        "access-control-max-age": "86400",
    }
)

_AUTH = re.compile(r"\bsentry_key\s*=\s*([0-9A-Za-z]{1,64})")

_Reading = tuple[list[Fault], Intake, str | None]
"""Faults, what else came, and the id that the answer names."""
_Read = Callable[[bytes, str, int, float], _Reading]
"""Reads a body with its encoding, for a project, at a moment."""


class ReportDoor:
    """Answers reports."""

    def __init__(
        self,
        intake: ReportIntake,
        attempts: Attempts,
        settings: Server,
        clock: Clock,
        publish: Callable[[Event], None],
    ) -> None:
        self._intake = intake
        self._attempts = attempts
        self._publish = publish
        self._clock = clock
        self._pool = WorkerPool("reports", threads=1, per_caller=1)
        self._body = WholeBody(LARGEST, within_s=settings.body_timeout_s)

    def routes(self) -> Iterator[Route]:
        """Make the rows."""
        for prefixes, (name, read) in product(
            range(MOST_PREFIXES + 1), (("envelope", _read_envelope), ("store", _read_store))
        ):
            path = "".join(f"/{{prefix_{'ab'[number]}}}" for number in range(prefixes))
            path += f"/api/{{project}}/{name}"  # the port takes a slash behind it as well
            yield self._route(("POST",), path, partial(self._sentry, read))
            yield self._route(("OPTIONS",), path, _preflight, body=False)
        yield self._own_route("/v1/errors", _read_native)
        yield self._own_route("/v1/logs", _read_logs)

    def _route(self, methods: tuple[str, ...], path: str, handler: Handler, *, body: bool = True) -> Route:
        return Route(
            methods,
            path,
            handler,
            is_open=True,
            takes_any_origin=True,
            body=self._body if body else None,
            fault_form=_cors_fault,
        )

    def _own_route(self, path: str, read: _Read) -> Route:
        return Route(
            ("POST",), path, partial(self._own, read), is_open=True, body=self._body, fault_form=_fault
        )

    async def _sentry(self, read: _Read, request: AuthorizedRequest) -> Response:
        project = await self._project(request, request.params["project"], _key_of_sentry(request))
        event_id = await self._take(read, request, project)
        return JSONResponse({} if event_id is None else {"id": event_id}, headers=dict(CORS))

    async def _own(self, read: _Read, request: AuthorizedRequest) -> Response:
        kind, _, given = _header(request, b"authorization").partition(" ")
        number, colon, key = given.strip().partition(":")
        if kind.lower() != "bearer" or not colon:
            number, key = "", ""
        project = await self._project(request, number, key)
        await self._take(read, request, project)
        return JSONResponse({})

    async def _project(self, request: AuthorizedRequest, number: str, key: str) -> Project:
        try:
            return await self._intake.project_of(number, key)
        except KeyRefused as fault:
            self._attempts.refused(request.address)
            self._publish(CallerRefused(Door.REPORTS, fault.code))
            raise

    async def _take(self, read: _Read, request: AuthorizedRequest, project: Project) -> str | None:
        encoding, body = _header(request, b"content-encoding"), await request.whole_body()
        reading = partial(read, body, encoding, project.project_id, self._clock.wall())
        if len(body) <= LONG and not encoding:
            faults, intake, event_id = reading()
        else:
            faults, intake, event_id = await self._pool.run(str(project.project_id), reading)
        await self._intake.take(project, faults, intake)
        return event_id


def _read_envelope(body: bytes, encoding: str, project: int, now: float) -> _Reading:
    envelope = read_envelope(unpacked(body, encoding))
    faults, lost = [], 0
    for item in envelope.items:
        if item.kind == "client_report":
            lost += lost_of_report(item.payload)
        else:
            faults.append(fault_of_event(item.payload, project, now))
    not_kept, broken = envelope.not_kept.total(), envelope.broken.total()
    named = event_id_of(envelope.header.get("event_id"))
    return faults, Intake(not_kept=not_kept, broken=broken, lost=lost), named


def _read_store(body: bytes, encoding: str, project: int, now: float) -> _Reading:
    event = _json(body, encoding)
    if not isinstance(event, dict):
        raise ReportRefused("The body is no JSON object of an event.")
    fault = fault_of_event(event, project, now)
    return [fault], Intake(), fault.event_id


def _read_native(body: bytes, encoding: str, project: int, now: float) -> _Reading:
    return faults_of_reports(_json(body, encoding), project, now), Intake(), None


def _read_logs(body: bytes, encoding: str, project: int, now: float) -> _Reading:
    faults, others = faults_of_logs(_json(body, encoding), project, now)
    return faults, Intake(not_kept=others), None


def _json(body: bytes, encoding: str) -> Any:
    try:
        return decoded(unpacked(body, encoding))
    except ValueError:
        raise ReportRefused("The body is no JSON.") from None


def _key_of_sentry(request: AuthorizedRequest) -> str:
    """Return the key of a request; empty where none is sent."""
    found = _AUTH.search(_header(request, b"x-sentry-auth")) or _AUTH.search(
        _header(request, b"authorization")
    )
    return request.query.get("sentry_key", "") if found is None else found[1]


def _header(request: AuthorizedRequest, name: bytes) -> str:
    return next((value.decode("latin-1") for each, value in request.headers if each == name), "")


async def _preflight(_: AuthorizedRequest) -> Response:
    return Response(status_code=204, headers=dict(CORS))


def _fault(fault: ExaiError, scope: Scope) -> Response:
    """Answer a fault; an SDK that is told nothing else stops sending its own reports of what it dropped too."""
    response = json_fault(fault, scope)
    if isinstance(fault, TooManyReports):
        seconds = max(1, round(fault.retry_after_s))
        response.headers["x-sentry-rate-limits"] = f"{seconds}:error;default:key:storm"
    return response


def _cors_fault(fault: ExaiError, scope: Scope) -> Response:
    response = _fault(fault, scope)
    response.headers.update(CORS)
    return response
