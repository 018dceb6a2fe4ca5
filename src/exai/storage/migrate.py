"""The schema's versions: what the code needs, what a database has, and the way from one to the other."""

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from exai.errors import StartFault
from exai.storage.schema import metadata

__all__ = ["check_or_create", "current", "head", "upgrade"]

MIGRATIONS = Path(__file__).parent / "migrations"

ADVISORY_LOCK = 0x45584149
"""One migration at a time on PostgreSQL; SQLite's write transaction does the same there."""


@cache
def head() -> str:
    """The version that this code needs."""
    revision = ScriptDirectory.from_config(_alembic()).get_current_head()
    assert revision is not None, "the package carries its migrations"  # noqa: S101 - a fact of the package
    return revision


def current(connection: Connection) -> str | None:
    """The version that a database has; `None` for one without any."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade(connection: Connection) -> tuple[str | None, str]:
    """Bring a database to `head`, in the connection's transaction; the versions before and after.

    Raises:
        StartFault: the database has a version that this code does not know.
    """
    _lock(connection)
    before = current(connection)
    _refuse_newer(before)
    if before != head():
        configuration = _alembic()
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, "head")
    return before, head()


def check_or_create(connection: Connection) -> None:
    """Set up an empty database; refuse one with another schema.

    Raises:
        StartFault: naming the command that mends it.
    """
    version = current(connection)
    if version == head():
        return
    _refuse_newer(version)
    if version is not None:
        raise StartFault(
            f"The database has schema {version} and this version of EXAI needs {head()}. "
            "Back it up, then run `exai migrate`."
        )
    tables = set(inspect(connection).get_table_names()) & set(metadata.tables)
    if tables:
        raise StartFault(
            f"The database holds tables of other origin ({', '.join(sorted(tables))}). "
            "Point database.url or data_dir at an empty one."
        )
    upgrade(connection)


def _refuse_newer(version: str | None) -> None:
    known = {script.revision for script in ScriptDirectory.from_config(_alembic()).walk_revisions()}
    if version is not None and version not in known:
        raise StartFault(
            f"The database has schema {version}, which this version of EXAI does not know: "
            "it was written by a newer one. Install that one, or use another database."
        )


def _lock(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})


def _alembic() -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return configuration
