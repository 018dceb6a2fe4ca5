"""Whether a provider answered as another model than it was asked for, by the name that it reports."""

import re
from collections.abc import Iterable

__all__ = ["is_other_model"]

_VERSION = re.compile(r"[-@:](\d{4}-\d{2}-\d{2}|\d{4,8}|latest|preview|exp|free)$")
"""What providers put behind a name: a date, a channel."""


def is_other_model(asked: Iterable[str], reported: str) -> bool:
    """Whether the reported name is none of those asked for.

    Case, a vendor in front (`z-ai/glm-5.3`) and versions behind (`glm-5.3-20261104`) make no other model.
    """
    plain = _plain(reported)
    return bool(plain) and plain not in {form for name in asked for form in (_plain(name), _last(name))}


def _plain(name: str) -> str:
    name = _last(name)
    while (shorter := _VERSION.sub("", name)) != name:
        name = shorter
    return name


def _last(name: str) -> str:
    return name.strip().casefold().rpartition("/")[2]
