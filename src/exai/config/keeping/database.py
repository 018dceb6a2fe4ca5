"""Where EXAI keeps what it keeps."""

from typing import Annotated

from pydantic import Field, SecretStr

from exai.config.values import Count, Section

__all__ = ["Database"]


class Database(Section):
    """Where conversations and the journal are stored."""

    url: SecretStr | None = None
    """SQLAlchemy URL, such as `postgresql+asyncpg://user:password@host/name`. Unset: SQLite in `data_dir`."""

    commit_interval_ms: Annotated[float, Field(ge=0, le=1_000)] = 5.0
    """Shortest time between two commits of a busy daemon, whose writes share commits. An idle one commits at once."""

    keep_calls_days: Count = 90
    """How long the journal keeps a call."""

    auto_migrate: bool = False
    """Whether a start and a command bring an older schema to their own, without a backup."""
