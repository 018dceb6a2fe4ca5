"""Modules that are imported when something is asked of them: what most processes do without."""

from importlib import import_module
from typing import Any

__all__ = ["LaterModule"]


class LaterModule:
    """Stands for a module, and imports it when it is first used.

    The type checker, and the contracts of imports, see the import itself, which stands beside it under `TYPE_CHECKING`.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self._name), name)
