"""Environment variables that are no settings: a client's token or the name of its credentials file, and other paths."""

import os
from collections.abc import Mapping
from pathlib import Path

from exai.config.home import expanded
from exai.config.placeholders import placeholder_in
from exai.errors import StartFault

__all__ = ["CREDENTIALS_VARIABLE", "TOKEN_VARIABLE", "credentials_variable", "path_in", "token_variable"]

TOKEN_VARIABLE = "EXAI_TOKEN"  # noqa: S105 - its name
CREDENTIALS_VARIABLE = "EXAI_CREDENTIALS"


def token_variable() -> str | None:
    """Return the token in `EXAI_TOKEN`; empty counts as not given.

    Raises:
        StartFault: it is visibly none, as when a client did not replace a reference in its configuration.
    """
    return _text_in(os.environ, TOKEN_VARIABLE, secret=True)


def credentials_variable() -> Path | None:
    """Return the file that `EXAI_CREDENTIALS` names.

    Raises:
        StartFault: it is visibly no path, or begins with a home folder that this process does not have.
    """
    named = path_in(os.environ, CREDENTIALS_VARIABLE)
    return None if named is None else expanded(named)


def path_in(environ: Mapping[str, str], variable: str) -> Path | None:
    """Return the path that a variable has, as it is written; empty counts as not given.

    Raises:
        StartFault: it is visibly no path.
    """
    text = _text_in(environ, variable, secret=False)
    return None if text is None else Path(text)


def _text_in(environ: Mapping[str, str], variable: str, *, secret: bool) -> str | None:
    text = environ.get(variable, "").strip()
    if (fault := placeholder_in(text, secret=secret)) is not None:
        raise StartFault(f"The environment variable `{variable}` {fault}.")
    return text or None
