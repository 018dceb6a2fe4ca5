"""Scopes: one per family of tools, and one per door that is no tool."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

__all__ = [
    "ADMIN",
    "DASHBOARD",
    "DEFAULT_SCOPES",
    "ERRORS",
    "FILES",
    "FILES_SECRETS",
    "MODELS",
    "OPERATE",
    "SCOPES",
    "SEARCH",
    "STATUS",
    "known_scopes",
]

MODELS = "tools:models"
SEARCH = "tools:search"
STATUS = "tools:status"
FILES = "files"
FILES_SECRETS = "files:secrets"
ERRORS = "errors"
OPERATE = "operate"
DASHBOARD = "dashboard"
ADMIN = "admin"

SCOPES: Mapping[str, str] = MappingProxyType(
    {
        MODELS: "Ask models: `chat` and whatever else spends money at a provider.",
        SEARCH: "Search the web with `search`, or with `use_websearch` in a chat.",
        STATUS: "Read how EXAI and its providers stand: `status`, `models`.",
        FILES: "Put files in and take one's own files out.",
        FILES_SECRETS: "Send a file although it holds a secret (`send_secrets`).",
        ERRORS: "Report errors, and read what became of them.",
        OPERATE: "Cancel calls, close breakers, end sessions, decide on errors, run baselines, exercise the auditor.",
        DASHBOARD: "Look at the dashboard, at `/metrics` and at calls by id: everybody's, but no texts.",
        ADMIN: "Make and revoke tokens and keys.",
    }
)
"""Every scope with what it allows. None includes another."""

DEFAULT_SCOPES = frozenset({MODELS, STATUS})
"""What a token may do whose maker named no scopes: the least that a coding agent needs."""


def known_scopes(words: Iterable[str]) -> frozenset[str]:
    """Those of `words` that are scopes of EXAI; what others mean by theirs is nothing here."""
    return frozenset(words).intersection(SCOPES)
