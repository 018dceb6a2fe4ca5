"""What is said of a key that is no setting, and which environment variables with the prefix are meant for others."""

import difflib
import re

from exai.config.tree import ENVIRONMENT_PREFIX, NAME, Setting, rows
from exai.errors import StartFault

__all__ = ["is_close", "is_of_orchestrator", "settings_below", "unknown_key"]

CLOSE = 0.7
"""Similarity from which a variable is taken for a misspelt setting: `EXAI_LOG_LEVEL` is `logging.level`."""

_ADDRESS = re.compile(r"(?:tcp|udp|sctp)://", re.IGNORECASE)
_SERVICE = re.compile(
    r"(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)"
)
_LINK = re.compile(r"(?:\w+_)?ENV_\w+")


def is_of_orchestrator(variable: str, text: str) -> bool:
    """Return whether Kubernetes or Docker sets this variable, for a service or a linked container named `exai`.

    https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables has the forms; a link
    adds `…_NAME`, which is a path of two names, and `…_ENV_…`.
    """
    name = variable.removeprefix(ENVIRONMENT_PREFIX)
    if _SERVICE.fullmatch(name) or _LINK.fullmatch(name):
        return True
    if name.endswith("PORT") and _ADDRESS.match(text):
        return True
    return name.endswith("NAME") and text.startswith("/") and text.count("/") == 2


def is_close(key: str) -> bool:
    """Return whether this key was most likely meant for a setting: its section is one, or its spelling is near."""
    section, dot, _ = key.partition(".")
    if dot and settings_below(section):
        return True
    return max(_similarity(key, row.key) for row in rows()) >= CLOSE or bool(settings_below(key))


def unknown_key(key: str, origin: str, named: str | None = None) -> StartFault:
    """Describe an unknown key; `named` is the environment variable that set it, if one did."""
    candidates = settings_below(key.rpartition(".")[0]) or rows()
    nearest = max((row.key for row in candidates), key=lambda known: _similarity(key, known))
    if named is None:
        return StartFault(f"`{key}` ({origin}) is no setting of EXAI; the nearest one is `{nearest}`.")
    variable = ENVIRONMENT_PREFIX + nearest.upper().replace(".", "__")
    return StartFault(
        f"The environment variable `{named}` is no setting of EXAI; "
        f"the nearest one is `{variable}` for `{nearest}`."
    )


def settings_below(section: str) -> list[Setting]:
    """Return the settings in a section, at any depth; none when there is no such section."""
    parts = section.split(".")
    return [
        row
        for row in rows()
        if len(pattern := row.key.split(".")) > len(parts)
        and all(wanted in (part, NAME) for wanted, part in zip(pattern, parts, strict=False))
    ]


def _similarity(key: str, known: str) -> float:
    """Return the similarity, from 0 to 1; the last part alone counts nearly as much, for a key in the wrong section."""

    def ratio(one: str, other: str) -> float:
        return difflib.SequenceMatcher(None, one, other).ratio()

    return max(ratio(key, known), 0.9 * ratio(key.rpartition(".")[2], known.rpartition(".")[2]))
