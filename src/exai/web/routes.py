"""Routes of a port as rows: which methods of which path, who may ask, what body, who answers.

A path is made of segments. `{name}` is any one segment that is not empty; every other one is itself, and the last one
may be empty. Where several patterns match a path, the most literal one has it, compared segment by segment from the
left: `/files/trees` is not `/files/{id}`. Rows may share a path when their methods differ.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from starlette.types import ASGIApp

from exai.web.bodies import Body
from exai.web.refusals import FaultForm, json_fault
from exai.web.requests import AuthorizedRequest

__all__ = ["READ", "Handler", "Match", "Route", "RouteTable"]

READ = ("GET", "HEAD")
"""Methods that only read."""

Handler = Callable[[AuthorizedRequest], Awaitable[ASGIApp]]
"""Answers a request by an ASGI application, which is what every Starlette response is."""

Shape = tuple[str | None, ...]
"""A pattern's segments; `None` is a placeholder."""

_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True, slots=True)
class Route:
    """One row."""

    methods: tuple[str, ...]
    path: str
    handler: Handler
    scope: str | None = None
    """What the caller must be allowed; `None`: nothing in particular."""
    is_open: bool = False
    """Public: served without authentication, and exposes no caller's data."""
    takes_any_host: bool = False
    """Whether it is answered under any name: for probes, which know an address of the machine alone."""
    takes_any_origin: bool = False
    """Whether pages of any origin may send it: for reports, in which nothing but a key counts."""
    accepts_cookie: bool = False
    """Whether the cookie of a browser that signed in will do, in place of a token."""
    needs_token: bool = False
    """Whether a token must be sent in local mode as well."""
    own_page_only: bool = False
    """Whether only a page of the port itself may ask: the answer sets or takes away the cookie."""
    body: Body | None = None
    """The rule of its body; `None`: it takes none, and none is read."""
    fault_form: FaultForm = json_fault

    def __post_init__(self) -> None:
        if self.is_open and (self.scope or self.accepts_cookie or self.needs_token):
            raise ValueError(f"{self.path}: an open route has no caller")
        if self.takes_any_host and not self.is_open:
            raise ValueError(f"{self.path}: who may ask under any name asks without a token")
        if self.takes_any_origin and not self.is_open:
            raise ValueError(f"{self.path}: what pages of any origin may send has no caller")
        if self.needs_token and self.accepts_cookie:
            raise ValueError(f"{self.path}: either a token is needed or a cookie will do")


@dataclass(frozen=True, slots=True)
class Match:
    """The rows of a path, and the values of its placeholders."""

    routes: tuple[Route, ...]
    params: Mapping[str, str]

    def route(self, method: str) -> Route | None:
        """Find the row for a method."""
        return next((route for route in self.routes if method in route.methods), None)

    @property
    def takes_any_host(self) -> bool:
        """Whether it is answered under any name, whatever the method."""
        return all(route.takes_any_host for route in self.routes)

    @property
    def takes_any_origin(self) -> bool:
        """Whether pages of any origin may ask, whatever the method."""
        return all(route.takes_any_origin for route in self.routes)

    @property
    def methods(self) -> tuple[str, ...]:
        """All that the path has."""
        return tuple(method for route in self.routes for method in route.methods)


class RouteTable:
    """Finds the rows of a path."""

    def __init__(self, routes: Iterable[Route]) -> None:
        """Check and index the rows.

        Raises:
            ValueError: a path cannot be one, or two rows have the same method of the same paths.
        """
        self._routes = tuple(routes)
        by_shape: dict[Shape, tuple[Route, ...]] = {}
        for route in self._routes:
            shape = _shape(route.path)
            before = by_shape.get(shape, ())
            if any(set(other.methods) & set(route.methods) for other in before):
                raise ValueError(f"{route.path}: two rows have the same method")
            if any(_names(other.path) != _names(route.path) for other in before):
                raise ValueError(f"{route.path}: two rows name its placeholders differently")
            by_shape[shape] = (*before, route)
        self._literal = {routes[0].path: Match(routes, MappingProxyType({})) for routes in _literal(by_shape)}
        self._patterns = sorted(
            ((shape, routes) for shape, routes in by_shape.items() if None in shape),
            key=lambda pattern: [segment is None for segment in pattern[0]],
        )

    def __iter__(self) -> Iterator[Route]:
        return iter(self._routes)

    def find(self, path: str) -> Match | None:
        """Find the rows of a decoded path; `None` where there are none."""
        if (match := self._literal.get(path)) is not None:
            return match
        segments = path.split("/")[1:]
        for shape, routes in self._patterns:
            if len(shape) == len(segments) and all(map(_matches, shape, segments)):
                values = (given for part, given in zip(shape, segments, strict=True) if part is None)
                return Match(routes, dict(zip(_names(routes[0].path), values, strict=True)))
        return None


def _literal(by_shape: Mapping[Shape, tuple[Route, ...]]) -> Iterator[tuple[Route, ...]]:
    return (routes for shape, routes in by_shape.items() if None not in shape)


def _matches(part: str | None, given: str) -> bool:
    return bool(given) if part is None else part == given


def _shape(path: str) -> Shape:
    root, *segments = path.split("/")
    if root or not segments or "" in segments[:-1]:
        raise ValueError(f"{path}: a path begins with a slash, and only its last segment may be empty")
    shape = tuple(None if _PLACEHOLDER.fullmatch(segment) else segment for segment in segments)
    if any(segment is not None and {"{", "}"} & set(segment) for segment in shape):
        raise ValueError(f"{path}: a placeholder is a whole segment")
    return shape


def _names(path: str) -> list[str]:
    return _PLACEHOLDER.findall(path)
