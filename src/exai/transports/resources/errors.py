"""Groups of errors as resources: a group, the report on it, and what happened lately to all of them.

A resource is JSON in parts, each by one writer: what EXAI's server says, and behind it, apart, what others wrote.
"""

import re
from collections.abc import Mapping
from typing import Any

import mcp_types as types
import msgspec

from exai.error_tracking.console import Console, GroupDetails, UnknownGroup
from exai.error_tracking.deciding import number_of
from exai.error_tracking.provenance import Provenance
from exai.storage.error_tracking.investigations import InvestigationTables
from exai.storage.error_tracking.rows import Turn
from exai.tools.envelope import PROVENANCE_KEY
from exai.transports.resources.kind import Content, unknown

__all__ = ["FEED", "REPORT", "ErrorResources", "FeedResource", "uri_of_group"]

JSON = "application/json"
TEXT = "text/plain"
FEED = "exai://feed/errors"
REPORT = "/report"
EVIDENCE = "/evidence/"
LATEST = 50
"""Turning points that the feed has."""

_GROUP = re.compile(r"E-[0-9]{1,9}", re.ASCII)


class ErrorResources:
    """Groups of errors. They belong to whoever operates EXAI, and not to a caller: the scope decides."""

    prefix = "exai://errors/"
    templates = (
        types.ResourceTemplate(
            uri_template=f"{prefix}{{group}}",
            name="error",
            title="A group of errors",
            description="State, figures, report, history and the latest occurrence.",
            mime_type=JSON,
        ),
        types.ResourceTemplate(
            uri_template=f"{prefix}{{group}}{REPORT}",
            name="error-report",
            title="The report on a group of errors",
            description="What it is, whose it is, where, since when, and what to do.",
            mime_type=JSON,
        ),
        types.ResourceTemplate(
            uri_template=f"{prefix}{{group}}{EVIDENCE}{{id}}",
            name="error-evidence",
            title="A piece of evidence on a group of errors",
            description="What a model was shown in the latest investigation, as text.",
            mime_type=TEXT,
        ),
    )

    def __init__(self, console: Console, investigations: InvestigationTables) -> None:
        self._console = console
        self._investigations = investigations

    async def page(self, _: str, most: int, after: str | None) -> list[types.Resource]:
        """List open groups, the one that was seen last first, on one page."""
        if after is not None:
            return []
        return [
            types.Resource(
                uri=uri_of_group(each.group),
                name=each.group,
                description=f"{each.state}, seen {each.seen} times.",
                mime_type=JSON,
                annotations=types.Annotations(last_modified=each.last_seen.isoformat(timespec="seconds")),
            )
            for each in await self._console.listed(most=min(most, LATEST))
        ]

    async def read(self, _: str, uri: str) -> list[Content]:
        """Read a group, the report on it, or a piece of evidence.

        Raises:
            UnknownResource: there is none at this address.
            StoreFailed: the database is out of reach.
        """
        name = uri.strip().removeprefix(self.prefix)
        if EVIDENCE in name:
            return [await self._evidence(uri, *name.split(EVIDENCE, 1))]
        of_report = name.endswith(REPORT)
        name = name.removesuffix(REPORT)
        if _GROUP.fullmatch(name) is None:
            raise unknown()
        try:
            details = await self._console.shown(number_of(name))
        except UnknownGroup:
            raise unknown() from None
        return _parts(uri, _written(details, of_report=of_report))

    async def _evidence(self, uri: str, name: str, evidence_id: str) -> Content:
        if _GROUP.fullmatch(name) is None:
            raise unknown()
        try:
            group_id = await self._console.id_of(number_of(name))
        except UnknownGroup:
            raise unknown() from None
        investigation = await self._investigations.latest_of(group_id, done=True)
        shown = (
            ()
            if investigation is None
            else await self._investigations.evidence_of(investigation.investigation_id)
        )
        piece = next((each for each in shown if each.evidence_id == evidence_id), None)
        if piece is None:
            raise unknown()
        return types.TextResourceContents(
            uri=uri, mime_type=TEXT, text=piece.text, _meta={PROVENANCE_KEY: piece.provenance}
        )

    async def ids(self, _: str, begin: str, most: int) -> list[str]:
        """List open groups whose names begin so."""
        groups = await self._console.listed(most=LATEST)
        return [each.group for each in groups if each.group.startswith(begin)][:most]


class FeedResource:
    """What happened lately to groups of errors."""

    prefix = FEED
    templates: tuple[types.ResourceTemplate, ...] = ()

    def __init__(self, console: Console) -> None:
        self._console = console

    async def page(self, _: str, __: int, after: str | None) -> list[types.Resource]:
        """List the feed."""
        if after is not None:
            return []
        return [
            types.Resource(
                uri=FEED,
                name="errors",
                description="What happened lately to groups of errors; subscribe to hear of more.",
                mime_type=JSON,
            )
        ]

    async def read(self, _: str, uri: str) -> list[Content]:
        """Read the latest turning points, newest first.

        Raises:
            UnknownResource: the address is not the feed's.
            StoreFailed: the database is out of reach.
        """
        if uri.strip() != FEED:
            raise unknown()
        turns = await self._console.turns(LATEST)
        return _parts(
            uri,
            {
                "server": {"turns": [_turn(each) for each in turns]},
                "outside": {"notes": [note for note in map(_note, turns) if note]},
            },
        )

    async def ids(self, _: str, __: str, ___: int) -> list[str]:
        """List nothing: there is one."""
        return []


def uri_of_group(group: str) -> str:
    """Make the address of a group, which is named as `E-17`."""
    return f"{ErrorResources.prefix}{group}"


def _written(details: GroupDetails, *, of_report: bool) -> Mapping[Provenance, dict[str, Any]]:
    """Sort what is shown of a group by who wrote it."""
    written: dict[Provenance, dict[str, Any]] = {"server": {}, "own": {}, "outside": {}}
    said = details.provenance
    document = msgspec.to_builtins(details)
    group, report = document["group"], document["report"]
    parts = {"report": report} if of_report else {"group": group, "report": report}
    for part, fields in parts.items():
        for name, value in fields.items():
            if value is not None and value not in ("", [], ()):
                written[said.get(f"{part}.{name}", "server")].setdefault(part, {})[name] = value
    if not of_report:
        written["server"]["hours"] = document["hours"]
        written["server"]["history"] = [_turn(each) for each in details.history]
        written[said["grouped_by.why"]]["grouped_by"] = document["grouped_by"]
        if notes := [note for note in map(_note, details.history) if note]:
            written["outside"]["notes"] = notes
        if details.latest is not None:
            written[said["latest"]]["latest"] = document["latest"]
    return written


def _turn(turn: Turn) -> dict[str, Any]:
    return {
        "group": f"E-{turn.number}",
        "at": turn.at,
        "kind": turn.kind,
        "by": turn.actor,
        "from": turn.from_state,
        "to": turn.to_state,
    }


def _note(turn: Turn) -> dict[str, Any]:
    """Return what a person or a reporter wrote into a turn; empty: nobody did."""
    if not turn.note and not turn.facts:
        return {}
    return {"group": f"E-{turn.number}", "at": turn.at, "note": turn.note, "facts": turn.facts}


def _parts(uri: str, written: Mapping[Provenance, dict[str, Any]]) -> list[Content]:
    return [
        types.TextResourceContents(
            uri=uri,
            mime_type=JSON,
            text=msgspec.json.format(msgspec.json.encode(shown)).decode(),
            _meta={PROVENANCE_KEY: writer},
        )
        for writer, shown in written.items()
        if any(shown.values())
    ]
