"""Imports many modules without what their packages bring along and EXAI never uses.

A daemon imports more than a thousand modules. Within `lean_imports`

- the garbage collector rests, which would look through all that was imported again and again; what was imported is
  frozen at the end, where it is most of what there is: it lives as long as the process;
- the packages of `RE_EXPORTING`, whose own `__init__` only imports what others may want, run it when something is asked
  of them that is no module of theirs: MCP's client and its high-level server need not be there for its low-level one;
- the modules of `HIDDEN` are not found: structlog would take rich for the tracebacks of its console, which EXAI writes
  by itself;
- the models of `DEFERRED` build their validators when something is validated, as pydantic has it with `defer_build`.
"""

import gc
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from typing_extensions import override

__all__ = ["lean_imports"]

RE_EXPORTING = frozenset({"mcp", "mcp.server"})
HIDDEN = frozenset({"rich"})
DEFERRED = frozenset({"mcp_types", "mcp_types._v2025_11_25", "mcp_types._v2026_07_28"})


@contextmanager
def lean_imports() -> Iterator[None]:
    """Import so within this scope, which belongs to the start of a process and its one thread."""
    was_enabled, finder, before = gc.isenabled(), _LeanFinder(), len(sys.modules)
    gc.disable()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        if len(sys.modules) > 2 * before:
            gc.freeze()
        if was_enabled:
            gc.enable()


class _LeanFinder(MetaPathFinder):
    """Finds some modules with a loader of our own, and does not find what is hidden."""

    @override
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module; `None` leaves it to Python."""
        if fullname in HIDDEN:
            raise ModuleNotFoundError(f"{fullname} is not needed", name=fullname)
        if fullname not in RE_EXPORTING | DEFERRED:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            kind = _LaterLoader if fullname in RE_EXPORTING else _DeferringLoader
            spec.loader = kind(spec.loader)
        return spec


class _OwnLoader(Loader):
    """Loads in another way what a loader of Python's loads."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    @override
    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Leave making the module to Python."""
        return None


class _DeferringLoader(_OwnLoader):
    """Has the models and adapters of a module defer their validators."""

    @override
    def exec_module(self, module: ModuleType) -> None:
        """Run the module while pydantic's own say so, which each model and adapter keeps."""
        pydantic: Any = import_module("pydantic")
        model, adapter = pydantic.BaseModel, pydantic.TypeAdapter
        usual = model.model_config
        model.model_config = {**usual, "defer_build": True}
        pydantic.TypeAdapter = _deferring(adapter)
        try:
            self._loader.exec_module(module)
        finally:
            pydantic.TypeAdapter = adapter
            model.model_config = usual


def _deferring(adapter: Any) -> Any:
    """Return what makes adapters whose validators are built when they are used."""

    class Deferred:
        def __class_getitem__(cls, _of: Any) -> Any:
            return cls

        def __new__(cls, of: Any) -> Any:
            return adapter(of, config={"defer_build": True})

    return Deferred


class _LaterLoader(_OwnLoader):
    """Runs a package when a name is asked of it that is none of its modules."""

    @override
    def exec_module(self, module: ModuleType) -> None:
        """Give the module its first names."""

        def found(name: str) -> Any:
            if name.startswith("__") and name != "__all__":
                raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
            if name != "__all__" and find_spec(f"{module.__name__}.{name}") is not None:
                return import_module(f"{module.__name__}.{name}")
            if vars(module).pop("__getattr__", None) is not None:
                self._loader.exec_module(module)
            return getattr(module, name)

        vars(module)["__getattr__"] = found
