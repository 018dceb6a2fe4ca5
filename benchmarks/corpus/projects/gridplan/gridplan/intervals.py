"""Half-open intervals of minutes: [first, last)."""


def overlaps(one, other):
    """Return whether two intervals have a minute in common."""
    return one[0] < other[1] and other[0] < one[1]


def merged(intervals):
    """Return the intervals without overlaps; those that touch become one."""
    result = []
    for first, last in sorted(intervals):
        if result and first <= result[-1][1]:
            result[-1] = (result[-1][0], max(last, result[-1][1]))
        else:
            result.append((first, last))
    return result


def gaps(day, taken):
    """Return what is free of a day."""
    free = []
    start = day[0]
    for first, last in merged(taken):
        if first > start:
            free.append((start, min(first, day[1])))
        start = max(start, last)
    if start < day[1]:
        free.append((start, day[1]))
    return [gap for gap in free if gap[0] < gap[1]]


def first_fit(day, taken, minutes, not_before):
    """Return the first free interval of a length that begins no earlier; None when there is none."""
    for first, last in gaps(day, taken):
        start = max(first, not_before)
        if last - start >= minutes:
            return (start, start + minutes)
    return None
