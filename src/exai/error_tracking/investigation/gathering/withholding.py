"""Withholds secrets from what a model is shown, wherever it was gathered: before it is cut, cited or sent.

Sources are withheld by forms of secrets and by the values that this process knows. Texts that people or programs
wrote lose what stands behind a telling name too, as `password=…`; sources keep that, since it is mostly code.
"""

from exai.config import Settings
from exai.config.tree import secret_values
from exai.files.secrets.places import without_secrets
from exai.monitoring.logs import Redaction

__all__ = ["Withholding"]

SOURCES = frozenset({"source", "history", "blame", "change"})


class Withholding:
    """Knows the secrets of a process."""

    def __init__(self, settings: Settings) -> None:
        self._redaction = Redaction(secret_values(settings))

    def __call__(self, kind: str, text: str) -> str:
        """Return a text of this kind of evidence without secrets; its lines are as many."""
        redact = self._redaction.known if kind in SOURCES else self._redaction.masked
        return redact(without_secrets(text))
