"""EXAI: an MCP server that puts GLM and Kimi models behind one endpoint for coding agents.

`exai.connect` is a client for a running one; see `exai.client`.
"""

from typing import TYPE_CHECKING, Any

from exai.runtime.version import __version__

if TYPE_CHECKING:
    from exai.client import connect

__all__ = ["__version__", "connect"]


def __getattr__(name: str) -> Any:
    """Import the client when it is first used: the daemon and the command line do without it."""
    if name == "connect":
        from exai.client import connect  # noqa: PLC0415

        return connect
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
