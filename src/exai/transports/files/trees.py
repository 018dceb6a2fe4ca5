"""HTTP requests for snapshots of folders: make, list, read, remove."""

from collections.abc import Iterator

from starlette.responses import JSONResponse, Response

from exai.errors import BadArguments
from exai.files.snapshots.manifests import MOST_BYTES
from exai.files.snapshots.snapshots import Missing, Snapshots
from exai.files.store.shelf import Shelf
from exai.storage.files.snapshots import Snapshot
from exai.transports.files.content import NOSNIFF, send_content
from exai.transports.files.door import limit_of, sha256_of
from exai.web.bodies import WholeBody
from exai.web.requests import AuthorizedRequest
from exai.web.routes import READ, Route

__all__ = ["TreeDoor"]

WITHIN_S = 120.0


class TreeDoor:
    """Answers `/files/trees`."""

    def __init__(self, snapshots: Snapshots, shelf: Shelf) -> None:
        self._snapshots = snapshots
        self._shelf = shelf

    def routes(self, scope: str) -> Iterator[Route]:
        """Yield the rows; `scope` opens them."""
        manifest = WholeBody(MOST_BYTES, WITHIN_S)
        yield Route(("GET",), "/files/trees", self.list, scope=scope)
        yield Route(("POST",), "/files/trees", self.create, scope=scope, body=manifest)
        yield Route(READ, "/files/trees/{tree_id}", self.show, scope=scope)
        yield Route(("DELETE",), "/files/trees/{tree_id}", self.remove, scope=scope)
        yield Route(("GET",), "/files/trees/{tree_id}/manifest", self.manifest, scope=scope)
        yield Route(READ, "/files/trees/{tree_id}/content", self.content, scope=scope)

    async def create(self, request: AuthorizedRequest) -> Response:
        """Keep a snapshot of a manifest, or name the contents that are missing for it."""
        created = await self._snapshots.create(request.caller.subject, await request.whole_body())
        if isinstance(created, Missing):
            return JSONResponse({"missing": list(created.digests)}, headers=NOSNIFF)
        return JSONResponse(_described(created), 201, headers=NOSNIFF)

    async def list(self, request: AuthorizedRequest) -> Response:
        """List the caller's snapshots, newest first, or the one with a manifest."""
        if (digest := request.query.get("manifest")) is not None:
            tree = await self._snapshots.find_manifest(
                request.caller.subject, sha256_of(digest, "`manifest` is")
            )
            listed = [] if tree is None else [_described(tree)]
            return JSONResponse({"trees": listed, "next": None}, headers=NOSNIFF)
        limit = limit_of(request.query.get("limit"))
        after = request.query.get("after")
        found = await self._snapshots.newest(request.caller.subject, limit + 1, after=after)
        trees, further = found[:limit], found[limit:]
        body = {"trees": [_described(tree) for tree in trees], "next": trees[-1].tree_id if further else None}
        return JSONResponse(body, headers=NOSNIFF)

    async def show(self, request: AuthorizedRequest) -> Response:
        """Describe a snapshot."""
        tree = await self._snapshots.get(request.caller.subject, request.params["tree_id"])
        return JSONResponse(_described(tree), headers=NOSNIFF)

    async def manifest(self, request: AuthorizedRequest) -> Response:
        """Send the manifest of a snapshot."""
        manifest = await self._snapshots.manifest(request.caller.subject, request.params["tree_id"])
        return Response(manifest, media_type="application/jsonl", headers=NOSNIFF)

    async def content(self, request: AuthorizedRequest) -> Response:
        """Send the bytes of one file of a snapshot, or one range of them."""
        path = request.query.get("path")
        if not path:
            raise BadArguments("Say which file: `?path=` and its path in the manifest.")
        row = await self._snapshots.file(request.caller.subject, request.params["tree_id"], path)
        return await send_content(self._shelf, request, row)

    async def remove(self, request: AuthorizedRequest) -> Response:
        """Remove a snapshot."""
        await self._snapshots.remove(request.caller.subject, request.params["tree_id"])
        return JSONResponse({"removed": True}, headers=NOSNIFF)


def _described(tree: Snapshot) -> dict[str, object]:
    return {
        "id": tree.tree_id,
        "entries": tree.entries,
        "bytes": tree.bytes,
        "created_at": tree.created_at.isoformat(timespec="milliseconds"),
    }
