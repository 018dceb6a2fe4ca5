"""EXAI: an MCP server that puts GLM and Kimi models behind one endpoint for coding agents.

`exai.connect` is a client for a running one; see `exai.client`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exai.client import connect
    from exai.runtime.version import __version__

__all__ = ["__version__", "connect"]

_HOMES = {"connect": "exai.client", "__version__": "exai.runtime.version"}


def __getattr__(name: str) -> Any:
    """Import the client, or read the version, when it is first asked for: most processes do without."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
