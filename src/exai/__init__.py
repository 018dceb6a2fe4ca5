"""EXAI: an MCP server that puts GLM and Kimi models behind one endpoint for coding agents."""

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("exai")
