"""Places tasks into rooms."""

from dataclasses import dataclass, field

from gridplan.graph import order
from gridplan.intervals import first_fit


class NoRoom(ValueError):
    """A task that fits nowhere."""


@dataclass
class Room:
    """A room and what is booked in it."""

    name: str
    seats: int
    taken: list = field(default_factory=list)


@dataclass(frozen=True)
class Task:
    """What is to be placed."""

    name: str
    minutes: int
    seats: int = 1
    needs: tuple = ()


def plan(tasks, rooms, day):
    """Return `{task: (room, first, last)}`; a task begins when all that it needs has ended. Books the rooms."""
    by_name = {task.name: task for task in tasks}
    needs = {task.name: task.needs for task in tasks}
    placed = {}
    booked = []
    try:
        for name in order(list(by_name), needs):
            task = by_name[name]
            ready = max((placed[other][2] for other in task.needs), default=day[0])
            room, slot = _best(task, rooms, day, ready)
            room.taken.append(slot)
            booked.append((room, slot))
            placed[name] = (room.name, *slot)
    except NoRoom:
        for room, slot in booked:
            room.taken.remove(slot)
        raise
    return placed


def _best(task, rooms, day, ready):
    """Return the room in which the task begins first; of several the smallest."""
    choices = []
    for place, room in enumerate(rooms):
        if room.seats < task.seats:
            continue
        slot = first_fit(day, room.taken, task.minutes, ready)
        if slot is not None:
            choices.append((slot[0], room.seats, place, slot))
    if not choices:
        raise NoRoom(task.name)
    _, _, place, slot = min(choices)
    return rooms[place], slot
