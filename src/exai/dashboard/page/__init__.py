"""The dashboard's page: modules as they stand in this folder, open to everybody, as there is nothing in them.

What it shows it asks for by itself; where that is refused it shows how to sign in. Texts enter the page as text alone,
and its policy lets no script run but those of this folder: `docs/security.md` has it.
"""

import base64
import gzip
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

from starlette.responses import PlainTextResponse, Response

from exai.web.requests import AuthorizedRequest
from exai.web.routes import READ, Handler, Route

__all__ = ["FOLDERS", "PAGES", "page_routes"]

KINDS = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "mjs": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
    "LICENSE": "text/plain; charset=utf-8",
    "json": "application/json",
}
"""Of the files that are served, by the end of their names."""
FOLDERS = ("", "core/", "parts/", "pages/", "vendor/")
MARKUP = "index.html"
PAGES = (
    "/",
    "/calls",
    "/calls/{call_id}",
    "/errors",
    "/errors/{group}",
    "/auditor",
    "/providers",
    "/connections",
    "/usage",
    "/baselines",
    "/baselines/{name}",
    "/system",
)
"""Addresses of pages: all of them are the one document, whose modules show what the address names."""

_IMPORT_MAP = re.compile(r'<script type="importmap">(.*?)</script>', re.DOTALL)


@dataclass(frozen=True, slots=True)
class _File:
    kind: str
    content: bytes
    compressed: bytes
    tag: str
    """Names the content; a browser that has it is not sent it again."""


def page_routes() -> list[Route]:
    """List the rows for the table of the port."""
    files = dict(_files())
    policy = _policy(files[MARKUP].content.decode())

    async def markup(request: AuthorizedRequest) -> Response:
        return _answer(files[MARKUP], request, policy, caching="no-store")

    def served(folder: str) -> Handler:
        async def answer(request: AuthorizedRequest) -> Response:
            found = files.get(folder + request.params["file"])
            if found is None:
                return PlainTextResponse("Nothing is here.", status_code=404)
            return _answer(found, request, policy)

        return answer

    return [
        *(Route(READ, path, markup, is_open=True) for path in PAGES),
        *(Route(READ, f"/page/{folder}{{file}}", served(folder), is_open=True) for folder in FOLDERS),
    ]


def _files() -> Iterator[tuple[str, _File]]:
    for folder in FOLDERS:
        for entry in resources.files(__package__).joinpath(folder).iterdir():
            kind = KINDS.get(entry.name.rpartition(".")[2])
            if kind is not None and entry.is_file():
                yield folder + entry.name, _read(entry, kind)


def _read(entry: Traversable, kind: str) -> _File:
    content = entry.read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    return _File(kind, content, gzip.compress(content, mtime=0), tag)


def _policy(markup: str) -> str:
    """Write the content security policy; the import map is the one script within the markup."""
    maps = _IMPORT_MAP.findall(markup)
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(each.encode()).digest()).decode()}'" for each in maps
    )
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' {hashes}",
            "style-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def _answer(file: _File, request: AuthorizedRequest, policy: str, caching: str = "no-cache") -> Response:
    headers = {
        "content-type": file.kind,
        "content-security-policy": policy,
        "cache-control": caching,
        "etag": file.tag,
        "vary": "accept-encoding",
    }
    sent = {name: value for name, value in request.headers if name in {b"if-none-match", b"accept-encoding"}}
    if file.tag.encode() in sent.get(b"if-none-match", b""):
        return Response(status_code=304, headers=headers)
    if b"gzip" in sent.get(b"accept-encoding", b""):
        return Response(file.compressed, headers={**headers, "content-encoding": "gzip"})
    return Response(file.content, headers=headers)
