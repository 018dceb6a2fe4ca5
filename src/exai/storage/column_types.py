"""Types of columns that both databases keep alike."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, Text, TypeDecorator
from typing_extensions import override

__all__ = ["StorableText", "UtcDateTime"]


class StorableText(TypeDecorator[str]):
    """Text from outside. PostgreSQL keeps no NUL, and a lone surrogate has no UTF-8: both are replaced.

    The same on every database, in stored values and in those that are looked up.
    """

    impl = Text
    cache_ok = True

    @override
    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None or (value.isascii() and "\0" not in value):
            return value
        return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


class UtcDateTime(TypeDecorator[datetime]):
    """A moment; always with its zone in Python, and in UTC in the table."""

    impl = DateTime(timezone=True)
    cache_ok = True

    @override
    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        return None if value is None else value.astimezone(UTC)

    @override
    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if not isinstance(value, datetime):
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
