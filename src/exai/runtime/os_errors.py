"""The reason that the operating system gives for refusing something, as part of a sentence."""

__all__ = ["reason_of"]


def reason_of(error: OSError) -> str:
    """Return the reason in lower case, such as "permission denied"; never a path or an address.

    An error without one, such as a time-out, is named by its class.
    """
    return (error.strerror or type(error).__name__).lower()
