"""A Python client for a running EXAI that survives cut connections and restarts; see `exai.client.connection`.

The names are imported when they are first used, so that a command that only reads a credentials file
does not import the whole client.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exai.client.connection import (
        Answer,
        CallFailed,
        InDoubt,
        Session,
        Unauthenticated,
        Unreachable,
        connect,
    )

__all__ = ["Answer", "CallFailed", "InDoubt", "Session", "Unauthenticated", "Unreachable", "connect"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("exai.client.connection"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
