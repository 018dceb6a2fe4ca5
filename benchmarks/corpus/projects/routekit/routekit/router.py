"""Routes are tried in order; `{name}` stands for one segment of a path."""

from dataclasses import dataclass, field


@dataclass
class Request:
    """What was asked."""

    method: str
    path: str
    headers: dict = field(default_factory=dict)
    user: str | None = None
    params: dict = field(default_factory=dict)


@dataclass
class Response:
    """What is answered."""

    status: int
    body: str = ""
    headers: dict = field(default_factory=dict)


class Router:
    """Answers requests by the first route that fits."""

    def __init__(self):
        self._routes = []
        self._guards = []

    def add(self, method, pattern, handler):
        """Add a route."""
        self._routes.append((method.upper(), pattern.strip("/").split("/"), handler))

    def guard(self, guard):
        """Add a check that is made before any handler; what it returns, if anything, is the answer."""
        self._guards.append(guard)

    def answer(self, request):
        """Answer a request: 404 for an unknown path, 405 for another method."""
        for guard in self._guards:
            refusal = guard(request)
            if refusal is not None:
                return refusal
        segments = request.path.strip("/").split("/")
        allowed = set()
        for method, pattern, handler in self._routes:
            params = _match(pattern, segments)
            if params is None:
                continue
            if method != request.method.upper():
                allowed.add(method)
                continue
            request.params = params
            return handler(request)
        if allowed:
            return Response(405, headers={"Allow": ", ".join(sorted(allowed))})
        return Response(404, "Not found")


def _match(pattern, segments):
    """Return the parameters of a path that fits a pattern, else None."""
    if len(pattern) != len(segments):
        return None
    params = {}
    for wanted, given in zip(pattern, segments, strict=True):
        if wanted.startswith("{") and wanted.endswith("}"):
            if not given:
                return None
            params[wanted[1:-1]] = given
        elif wanted != given:
            return None
    return params
