"""EXAI: an MCP server that puts GLM and Kimi models behind one endpoint for coding agents.

`exai.connect` is a client for a running one; see `exai.client`.
"""

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exai.client import connect

__all__ = ["__version__", "connect"]

__version__ = version("exai")


def __getattr__(name: str) -> Any:
    """The client is imported when it is used: the daemon and the command line do without."""
    if name == "connect":
        from exai.client import connect  # noqa: PLC0415

        return connect
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
