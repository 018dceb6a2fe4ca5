"""Reads the query of a request in its form."""

from typing import TypeVar

import msgspec

from exai.errors import BadArguments
from exai.web.requests import AuthorizedRequest

__all__ = ["query_of"]

T = TypeVar("T")


def query_of(request: AuthorizedRequest, form: type[T]) -> T:
    """Read the query in its form; what the form does not know is refused.

    Raises:
        BadArguments: it is something else.
    """
    try:
        return msgspec.convert(dict(request.query), form, strict=False)
    except msgspec.ValidationError as error:
        raise BadArguments(f"The query is not as it has to be: {error}.") from None
