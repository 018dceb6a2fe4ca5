"""Charts, earlier moments, settings and runs: what pages read beside the feed."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any, Literal

import msgspec
from starlette.responses import JSONResponse, Response

from exai.auth.scopes import DASHBOARD
from exai.config import Settings
from exai.config.tree import as_toml, find, values
from exai.dashboard.calls.ranges import moment_of, range_of
from exai.dashboard.documents.moments import whole
from exai.dashboard.documents.providers import Providers
from exai.dashboard.queries import query_of
from exai.dashboard.shared_runs import SharedRuns
from exai.errors import BadArguments
from exai.monitoring.recent.seconds import RecentSeconds
from exai.runtime.clock import Clock
from exai.storage.dashboard.history import History, MinuteOfSeries, RequestsOfModel
from exai.storage.fleet.replicas import Replicas
from exai.web.requests import AuthorizedRequest
from exai.web.routes import READ, Handler, Route

__all__ = ["HistoryRoutes"]

WINDOW = timedelta(minutes=10)
LONGEST = timedelta(days=7)
MOST_NAMES = 12
MOST_POINTS = 600
"""Of a series; of more, neighbours are put together."""
MOST_VALUE = 500
NOT_STORED = "The states of breakers are kept in memory alone; the requests beside show how the models did."


class _Series(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    names: Annotated[str, msgspec.Meta(max_length=1_000)] = ""
    from_: str = ""
    to: str = ""
    at: str = ""
    step: Literal[1, 60] = 60


class _At(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    at: str = ""


class _Runs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    most: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20


class HistoryRoutes:
    """The routes of charts, earlier moments, settings and runs."""

    def __init__(
        self,
        history: History,
        replicas: Replicas,
        run_id: str,
        providers: Providers,
        seconds: RecentSeconds,
        settings: tuple[Settings, Mapping[str, str]],
        clock: Clock,
    ) -> None:
        """`settings` are those in force, and where each came from."""
        self._history = history
        self._replicas = replicas
        self._run_id = run_id
        self._providers = providers
        self._seconds = seconds
        self._settings, self._origins = settings
        self._clock = clock
        self._shared = SharedRuns()

    def routes(self) -> list[Route]:
        """List the rows for the table of the port."""

        def read(path: str, handler: Handler) -> Route:
            return Route(READ, path, handler, scope=DASHBOARD, accepts_cookie=True)

        return [
            read("/api/series", self._series),
            read("/api/providers", self._models),
            read("/api/system/settings", self._list_settings),
            read("/api/system/runs", self._list_runs),
        ]

    async def _series(self, request: AuthorizedRequest) -> Response:
        asked = query_of(request, _Series)
        names = tuple(dict.fromkeys(each for each in asked.names.split(",") if each))
        if len(names) > MOST_NAMES:
            raise BadArguments(f"names: At most {MOST_NAMES} at a time.")
        if asked.step == 1:
            since = moment_of("from", asked.from_ or "-1h", self._clock.utc()).timestamp()
            found = {
                name: self._seconds.points(name, since) for name in names or self._seconds.names[:MOST_NAMES]
            }
            series = [_thinned(name, [(at, v, v) for at, v in points]) for name, points in found.items()]
            return JSONResponse({"step_s": 1, "names": self._seconds.names, "series": series})
        range_ = range_of(asked.from_, asked.at or asked.to, self._clock.utc(), timedelta(hours=1))
        if range_.until - range_.since > LONGEST:
            raise BadArguments("from: Minutes are kept for 7 days; ask for less.")
        key = (names, range_)
        known = await self._shared.run(
            ("names", range_), lambda: self._history.names(range_.since, range_.until)
        )
        wanted = names or tuple(known[:MOST_NAMES])
        rows = await self._shared.run(key, lambda: self._history.series(wanted, range_.since, range_.until))
        by_name: dict[str, list[MinuteOfSeries]] = {name: [] for name in wanted}
        for row in rows:
            by_name[row.name].append(row)
        series = [
            _thinned(name, [(int(each.minute.timestamp()), each.mean, each.highest) for each in minutes])
            for name, minutes in by_name.items()
        ]
        return JSONResponse({"step_s": 60, "names": known, "series": series})

    async def _models(self, request: AuthorizedRequest) -> Response:
        asked = query_of(request, _At)
        if not asked.at:
            return JSONResponse(await self._providers.make(1.0))
        at = moment_of("at", asked.at, self._clock.utc())
        rows = await self._shared.run(("models", at), lambda: self._history.requests(at, WINDOW))
        minute = at.replace(second=0, microsecond=0)
        samples = await self._history.series(None, minute, minute)
        body = {
            "at": whole(at),
            "window_s": WINDOW.total_seconds(),
            "models": list(_by_model(rows)),
            "gates": [
                {"name": each.name, "mean": each.mean, "max": each.highest, "full": each.full}
                for each in samples
                if each.name.startswith(("in use: ", "waiting: "))
            ],
            "breakers": None,
            "why": NOT_STORED,
        }
        return JSONResponse(body)

    async def _list_settings(self, _: AuthorizedRequest) -> Response:
        shown = []
        for key, value in values(self._settings):
            row, text = find(key), as_toml(value)
            is_secret = row is not None and row.secret
            shown.append(
                {
                    "name": key,
                    "value": text if len(text) <= MOST_VALUE else f"{text[:MOST_VALUE]}…",
                    "source": self._origins.get(key, "unknown"),
                    "secret": is_secret,
                }
            )
        return JSONResponse({"settings": shown})

    async def _list_runs(self, request: AuthorizedRequest) -> Response:
        asked = query_of(request, _Runs)
        runs = await self._replicas.latest(asked.most)
        releases: dict[str, str | None] = {}
        for run in reversed(runs):
            releases.setdefault(run.release, whole(run.began_at))
        body = {
            "runs": [{**msgspec.to_builtins(run), "this": run.run_id == self._run_id} for run in runs],
            "releases": [
                {"release": release, "first_seen": seen} for release, seen in reversed(releases.items())
            ],
        }
        return JSONResponse(body)


def _thinned(name: str, points: Sequence[tuple[int, float, float]]) -> dict[str, Any]:
    """Put neighbours together until there are few enough: their mean, and the greatest."""
    size = max(1, math.ceil(len(points) / MOST_POINTS))
    groups = [points[place : place + size] for place in range(0, len(points), size)]
    return {
        "name": name,
        "points": [
            [
                group[0][0],
                round(sum(mean for _, mean, _ in group) / len(group), 3),
                round(max(highest for _, _, highest in group), 3),
            ]
            for group in groups
        ],
    }


def _by_model(rows: Iterable[RequestsOfModel]) -> Iterable[dict[str, Any]]:
    by_model: dict[tuple[str, str], list[RequestsOfModel]] = {}
    for row in rows:
        by_model.setdefault((row.provider, row.model), []).append(row)
    for (provider, model), of_model in sorted(by_model.items()):
        answered = sorted(each.milliseconds for each in of_model if each.outcome == "ok")
        yield {
            "provider": provider,
            "model": model,
            "requests": len(of_model),
            "attempts": sum(each.attempts for each in of_model),
            "failed": sum(each.outcome not in {"ok", "cancelled"} for each in of_model),
            "outcomes": Counter(each.outcome for each in of_model),
            "p50_ms": _at(answered, 0.5),
            "p95_ms": _at(answered, 0.95),
        }


def _at(ordered: Sequence[float], share: float) -> float | None:
    return round(ordered[math.ceil(share * len(ordered)) - 1], 1) if ordered else None
