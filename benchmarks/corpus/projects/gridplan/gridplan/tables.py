"""Tasks from and plans to CSV."""

import csv
import io

from gridplan.planner import Task


def read_tasks(text):
    """Return the tasks of rows `name,minutes,seats,needs`; needs are divided by `;`."""
    tasks = []
    for number, row in enumerate(csv.DictReader(io.StringIO(text)), 2):
        try:
            minutes, seats = int(row["minutes"]), int(row["seats"] or 1)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"line {number}: minutes and seats are numbers") from error
        if minutes <= 0:
            raise ValueError(f"line {number}: minutes are positive")
        needs = tuple(part.strip() for part in (row.get("needs") or "").split(";") if part.strip())
        tasks.append(Task(row["name"], minutes, seats, needs))
    return tasks


def clock(minutes):
    """Return minutes after midnight as text."""
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def write_plan(placed):
    """Return the plan as CSV, by beginning and room; a cell that a sheet would run is quoted."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["begins", "ends", "room", "task"])
    for name, (room, first, last) in sorted(placed.items(), key=lambda item: (item[1][1], item[1][0])):
        writer.writerow([clock(first), clock(last), _cell(room), _cell(name)])
    return out.getvalue()


def _cell(text):
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text
