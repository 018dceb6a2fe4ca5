"""A client's environment variables: a token, or the name of its credentials file."""

import os
from pathlib import Path

__all__ = ["CREDENTIALS_VARIABLE", "TOKEN_VARIABLE", "credentials_variable", "token_variable"]

TOKEN_VARIABLE = "EXAI_TOKEN"  # noqa: S105 - its name
CREDENTIALS_VARIABLE = "EXAI_CREDENTIALS"


def token_variable() -> str | None:
    """Return the token in `EXAI_TOKEN`."""
    return os.environ.get(TOKEN_VARIABLE) or None


def credentials_variable() -> Path | None:
    """Return the file that `EXAI_CREDENTIALS` names."""
    named = os.environ.get(CREDENTIALS_VARIABLE)
    return Path(named).expanduser() if named else None
