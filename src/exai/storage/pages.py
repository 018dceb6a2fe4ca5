"""Pages of an owner's rows, the one that was made last first."""

from typing import Any

from sqlalchemy import ColumnElement, Table, or_, select
from sqlalchemy.sql.selectable import Select

__all__ = ["page_of"]


def page_of(
    query: Select[Any], table: Table, key: ColumnElement[str], owner: str, most: int, after: str | None
) -> Select[Any]:
    """Narrow a query to `most` rows of an owner, newest first, behind the one whose key is `after`.

    Nothing is behind a row that the owner does not have. The table has `owner` and `created_at`.
    """
    created_at = table.c.created_at
    mine = query.where(table.c.owner == owner).order_by(created_at.desc(), key.desc()).limit(most)
    if after is None:
        return mine
    at = select(created_at).where(table.c.owner == owner, key == after).scalar_subquery()
    return mine.where(or_(created_at < at, (created_at == at) & (key < after)))
