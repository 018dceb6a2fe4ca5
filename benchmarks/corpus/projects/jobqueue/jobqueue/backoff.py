"""How long a job waits before it is tried again."""


def pause_s(tries, first_s=2.0, most_s=300.0):
    """Return the pause after so many tries: it doubles, up to the most."""
    if tries < 1:
        raise ValueError("there is no pause before the first try")
    return min(first_s * 2 ** (tries - 1), most_s)


def is_last(tries, most_tries):
    """Return whether no try is left."""
    return tries >= most_tries
