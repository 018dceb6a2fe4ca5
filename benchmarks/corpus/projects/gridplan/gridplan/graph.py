"""The order of tasks that depend on each other."""

from collections import deque


class Circle(ValueError):
    """Tasks that wait for each other."""


def order(tasks, needs):
    """Return the tasks so that each comes after what it needs; equals keep their order."""
    waits = {task: set(needs.get(task, ())) for task in tasks}
    for task, others in waits.items():
        unknown = others - waits.keys()
        if unknown:
            raise KeyError(f"{task} needs {sorted(unknown)[0]}, which is no task")
    ready = deque(task for task in tasks if not waits[task])
    done = []
    while ready:
        task = ready.popleft()
        done.append(task)
        for other in tasks:
            if task in waits[other]:
                waits[other].remove(task)
                if not waits[other]:
                    ready.append(other)
    if len(done) < len(tasks):
        raise Circle(", ".join(task for task in tasks if waits[task]))
    return done


def reach(start, needs):
    """Return everything that a task needs, however far away."""
    found = set()
    open_tasks = [start]
    while open_tasks:
        for other in needs.get(open_tasks.pop(), ()):
            if other not in found:
                found.add(other)
                open_tasks.append(other)
    return found
