"""The dashboard's page: three files of our own, open to everybody, as there is nothing in them.

What it shows it asks for by itself; where that is refused it shows how to sign in. Texts enter the page as
text alone, and its policy lets no script run but this one.
"""

from importlib import resources

from starlette.responses import Response

from exai.web.requests import AuthorizedRequest
from exai.web.routes import READ, Route

__all__ = ["page_routes"]

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
}


def page_routes() -> list[Route]:
    """List the rows for the table of the port."""
    return [_route(path, name, kind) for path, (name, kind) in FILES.items()]


def _route(path: str, name: str, kind: str) -> Route:
    content = resources.files(__package__).joinpath(name).read_bytes()

    async def answer(_: AuthorizedRequest) -> Response:
        headers = {"content-type": kind, "content-security-policy": POLICY}
        return Response(content, headers=headers)

    return Route(READ, path, answer, is_open=True)
