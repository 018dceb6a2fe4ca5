"""The schema's versions: which one the code needs, which one a database has, and the upgrade.

A version is the number that its migration's file begins with, `0001_foundation.py`. Alembic is imported only where
something is to be migrated: an ordinary start does without its 10 MB and a tenth of a second.
"""

from functools import cache
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from exai.errors import StartFault
from exai.storage.dialects import lock_until_commit
from exai.storage.schema import metadata

__all__ = ["check_or_create", "current", "head", "upgrade"]

MIGRATIONS = Path(__file__).parent / "migrations"

MIGRATION_LOCK = 0
"""Below the numbers of `write_operations.LockGroup`."""

_VERSION_TABLE = "alembic_version"


def head() -> str:
    """Return the version that this code needs."""
    return max(_known())


def current(connection: Connection) -> str | None:
    """Read the version that a database has; `None` for one without any."""
    if not inspect(connection).has_table(_VERSION_TABLE):
        return None
    version: str | None = connection.scalar(text(f"SELECT version_num FROM {_VERSION_TABLE}"))  # nosec B608 # noqa: S608 - our own name
    return version


def upgrade(connection: Connection) -> tuple[str | None, str]:
    """Bring a database to `head`, in the connection's transaction; the versions before and after.

    Raises:
        StartFault: the database has a version that this code does not know.
    """
    lock_until_commit(connection, MIGRATION_LOCK)
    before = current(connection)
    _refuse_newer(before)
    if before != head():
        _run_migrations(connection)
    return before, head()


def check_or_create(connection: Connection, *, upgrades: bool = False) -> None:
    """Set up an empty database; refuse one with another schema, or with `upgrades` bring an older one to `head`.

    Of several processes that start on an empty one, the first sets it up, and the others wait for it.

    Raises:
        StartFault: naming the command that mends it.
    """
    if current(connection) == head():
        return
    lock_until_commit(connection, MIGRATION_LOCK)
    version = current(connection)
    if version == head():
        return
    _refuse_newer(version)
    if version is not None and not upgrades:
        raise StartFault(
            f"The database has schema {version} and this version of EXAI needs {head()}. "
            "Back it up, then run `exai migrate`. A demonstration that runs is of another version: stop it by "
            "`exai stop --demo`; its next start, or this command then, brings its data there."
        )
    tables = set(inspect(connection).get_table_names()) & set(metadata.tables)
    if tables and version is None:
        raise StartFault(
            f"The database holds tables of other origin ({', '.join(sorted(tables))}). "
            "Point database.url or data_dir at an empty one."
        )
    upgrade(connection)


@cache
def _known() -> frozenset[str]:
    return frozenset(file.name.partition("_")[0] for file in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def _refuse_newer(version: str | None) -> None:
    if version is not None and version not in _known():
        raise StartFault(
            f"The database has schema {version}, which this version of EXAI does not know: "
            "it was written by a newer one. Install that one, or use another database."
        )


def _run_migrations(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415 - see the top
    from alembic.config import Config  # noqa: PLC0415

    configuration = Config()
    configuration.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    configuration.attributes["connection"] = connection
    command.upgrade(configuration, "head")
