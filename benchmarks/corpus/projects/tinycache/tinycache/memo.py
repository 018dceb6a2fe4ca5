"""Functions that remember what they returned."""

from functools import wraps


def memoized(cache, name=None):
    """Return a decorator that keeps results in a cache, by the function's name and its arguments."""

    def decorate(function):
        label = name or function.__qualname__

        @wraps(function)
        def remembered(*args, **named):
            key = (label, args, tuple(sorted(named.items())))
            return cache.get_or_make(key, lambda _: function(*args, **named))

        return remembered

    return decorate


def warmed(cache, function, keys):
    """Fill a cache with the results for some keys; return those that failed, with their errors."""
    failed = {}
    for key in keys:
        try:
            cache.get_or_make(key, function)
        except Exception as error:
            failed[key] = error
    return failed


def rate(cache):
    """Return the share of look-ups that were hits; 0 before the first."""
    asked = cache.hits + cache.misses
    return cache.hits / asked if asked else 0.0
