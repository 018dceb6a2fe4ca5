"""Statements that are compiled once in a process of tests, though nearly every test opens a database of its own.

SQLAlchemy keeps what it has compiled with an engine, and under the engine's dialect.
"""

from typing import Any

from sqlalchemy import Connection, Engine, event

__all__ = ["share_compiled_statements"]


class _CompiledStatements(dict[Any, Any]):
    """A cache of compiled statements in which dialects of one kind and one server's version are one."""

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(_of_any_engine(key), default)

    def __setitem__(self, key: Any, compiled: Any) -> None:
        super().__setitem__(_of_any_engine(key), compiled)


def _of_any_engine(key: Any) -> Any:
    dialect, *statement = key
    return (type(dialect), dialect.server_version_info, *statement)


_COMPILED = _CompiledStatements()


def share_compiled_statements() -> None:
    """Let every engine of this process use the same compiled statements."""
    event.listen(Engine, "engine_connect", _use)


def _use(connection: Connection) -> None:
    connection.execution_options(compiled_cache=_COMPILED)
