"""What GLM's documentation names and this emulator does not have: each answers with a documented error."""

from collections.abc import Iterable

from exai_emulator.calls import Refusal
from exai_emulator.endpoints import Endpoint, EndpointRequest
from exai_emulator.rules import Behaviour

__all__ = ["BEHAVIOURS", "ENDPOINTS"]

_NOT_OPEN = (
    "/images/generations",
    "/async/images/generations",
    "/videos/generations",
    "/audio/transcriptions",
    "/audio/speech",
    "/layout_parsing",
)
"""Of every platform, for accounts that have them."""
_MAINLAND = ("/embeddings", "/rerank", "/moderations", "/batches")

BEHAVIOURS = (
    Behaviour(
        "glm.closed.media", "?", "pictures, videos, audio and layouts are not open to the account: 403/1220"
    ),
    Behaviour("glm.closed.mainland", "?", "what only the mainland has does not exist: 400/1222"),
)


def _refusing(error: str) -> Endpoint:
    def endpoint(_: EndpointRequest) -> Refusal:
        return Refusal(error)

    return endpoint


def _rows(paths: Iterable[str], error: str) -> list[tuple[str, str, Endpoint]]:
    return [("POST", path, _refusing(error)) for path in paths]


ENDPOINTS: tuple[tuple[str, str, Endpoint], ...] = (
    *_rows(_NOT_OPEN, "1220"),
    *_rows(_MAINLAND, "1222"),
    ("GET", "/batches", _refusing("1222")),
)
