"""Log records of OpenTelemetry in JSON encoding, as faults (OTLP 1.x; semantic conventions, Exceptions).

Those with `exception.type`, or of severity ERROR and above, are faults; the others are counted as not kept. Of
attributes the convention's are read, and no other.
"""

import secrets
from collections.abc import Iterator, Mapping
from typing import Any

from exai.error_tracking.faults import LONGEST_MESSAGE, Fault, FaultSource, RaisedException
from exai.error_tracking.ingestion.bodies import ReportRefused
from exai.error_tracking.ingestion.stacks import frames_of
from exai.error_tracking.ingestion.texts import storable

__all__ = ["faults_of_logs"]

ERROR = 17
"""The least severity number of an error."""
MOST_RECORDS = 10_000
CLOCK_OFF_S = 86_400.0

_CONTEXT = ("deployment.environment.name", "service.name", "service.version", "host.name")


def faults_of_logs(body: object, project: int, now: float) -> tuple[list[Fault], int]:
    """Return the faults of an export request, and how many records are none.

    Raises:
        ReportRefused: it is no such request.
    """
    if not isinstance(body, Mapping) or not isinstance(body.get("resourceLogs"), list):
        raise ReportRefused("The body is no OTLP export of logs in JSON: it has no list `resourceLogs`.")
    faults, others = [], 0
    for number, (resource, scope, record) in enumerate(_records(body)):
        fault = _fault(resource, scope, record, project, now) if number < MOST_RECORDS else None
        if fault is None:
            others += 1
        else:
            faults.append(fault)
    return faults, others


def _records(body: Mapping[str, Any]) -> Iterator[tuple[dict[str, str], str, Mapping[str, Any]]]:
    for of_resource in _objects(body.get("resourceLogs")):
        resource = _attributes(of_resource.get("resource"))
        for of_scope in _objects(of_resource.get("scopeLogs")):
            scope = of_scope.get("scope")
            name = storable(scope.get("name"), 200) if isinstance(scope, Mapping) else ""
            for record in _objects(of_scope.get("logRecords")):
                yield resource, name, record


def _fault(
    resource: dict[str, str], scope: str, record: Mapping[str, Any], project: int, now: float
) -> Fault | None:
    attributes = _attributes(record)
    kind = attributes.get("exception.type", "")
    severity = record.get("severityNumber")
    if not kind and not (isinstance(severity, int) and severity >= ERROR):
        return None
    message = attributes.get("exception.message", "")
    chain = (
        (
            RaisedException(
                type=storable(kind, 200),
                message=storable(message, LONGEST_MESSAGE),
                frames=frames_of(attributes.get("exception.stacktrace", "")),
            ),
        )
        if kind
        else ()
    )
    reported_at = _moment(record.get("timeUnixNano"))
    believed = reported_at is not None and abs(reported_at - now) <= CLOCK_OFF_S
    return Fault(
        occurrence_id=f"occ_{secrets.token_hex(8)}",
        at=now,
        source=FaultSource.OUTSIDE,
        reported_at=reported_at if believed else None,
        project=project,
        chain=chain,
        message=storable(_value(record.get("body")), LONGEST_MESSAGE),
        logger=scope,
        release=storable(resource.get("service.version"), 200),
        context={name: storable(resource[name], 200) for name in _CONTEXT if name in resource},
    )


def _attributes(holder: object) -> dict[str, str]:
    if not isinstance(holder, Mapping):
        return {}
    found = {}
    for each in _objects(holder.get("attributes"))[:200]:
        name = each.get("key")
        if isinstance(name, str):
            found[name] = _value(each.get("value"))
    return found


def _value(value: object) -> str:
    if not isinstance(value, Mapping):
        return ""
    text = value.get("stringValue")
    return text if isinstance(text, str) else ""


def _moment(given: object) -> float | None:
    """Read nanoseconds since 1970, which JSON has as a text."""
    try:
        return int(given) / 1e9 if isinstance(given, str | int) and len(str(given)) < 25 else None
    except ValueError:
        return None


def _objects(given: object) -> list[Mapping[str, Any]]:
    return [each for each in given if isinstance(each, Mapping)] if isinstance(given, list) else []
