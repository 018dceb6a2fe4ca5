"""Pages and files."""

from html import escape
from pathlib import Path

from routekit.router import Response

TYPES = {".css": "text/css", ".js": "text/javascript", ".txt": "text/plain"}
MOST_BYTES = 1_000_000


def page(title, lines):
    """Return a page whose texts cannot be markup."""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return Response(200, f"<h1>{escape(title)}</h1><ul>{items}</ul>", {"Content-Type": "text/html"})


def static(folder):
    """Return a handler that shows files of one folder, and nothing outside of it."""
    root = Path(folder).resolve()

    def show(request):
        path = (root / request.params["name"]).resolve()
        if not path.is_relative_to(root) or not path.is_file():
            return Response(404, "Not found")
        if path.stat().st_size > MOST_BYTES:
            return Response(413, "Too large")
        kind = TYPES.get(path.suffix, "application/octet-stream")
        return Response(200, path.read_text(encoding="utf-8"), {"Content-Type": kind})

    return show


def redirect(request, default="/"):
    """Send the client to where it wanted to go, on this site only."""
    target = request.params.get("next", default)
    if not target.startswith("/") or target.startswith(("//", "/\\")):
        target = default
    return Response(303, headers={"Location": target})
