"""Places in a list of groups, written down: behind which group the next page begins."""

from datetime import UTC, datetime

from exai.error_tracking.console import GroupLine, Sort
from exai.error_tracking.deciding import number_of
from exai.errors import BadArguments
from exai.storage.error_tracking.failed_costs import MICRO

__all__ = ["place_after", "place_in"]


def place_after(group: GroupLine, sort: Sort) -> str:
    """Write the place behind a group."""
    value = {
        "last": group.last_seen.isoformat(),
        "first": group.first_seen.isoformat(),
        "seen": str(group.seen),
        "callers": str(group.callers),
        "cost": str(round(group.cost_usd * MICRO)),
    }[sort]
    return f"{value}~{group.group}"


def place_in(cursor: str, sort: Sort) -> tuple[datetime | int, int]:
    """Read a place: by what the list is sorted, and the number of the group.

    Raises:
        BadArguments: it is none of a list that is sorted so.
    """
    value, _, group = cursor.partition("~")
    try:
        number = number_of(group)
        if sort in {"seen", "callers", "cost"}:
            return int(value), number
        return datetime.fromisoformat(value).astimezone(UTC), number
    except (ValueError, BadArguments):
        raise BadArguments("This cursor is none of this list; begin without one.") from None
