"""Files of the terminal's machine that `exai chat` sends, without the secrets in them."""

import base64
import mimetypes
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from exai.errors import StartFault
from exai.files.checks import secret_kind
from exai.files.secrets.places import Place, places_of, redacted
from exai.files.secrets.scanner import SecretScanner
from exai.runtime.os_errors import reason_of

__all__ = ["AttachedFiles", "is_picture"]

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp"})
NAMED_PLACES = 3

OVERRIDE = "`--send-secrets` sends it as it is"


def is_picture(file: Path) -> bool:
    """Whether the file's name is that of a picture."""
    return file.suffix.lower() in PICTURES


@dataclass
class AttachedFiles:
    """Reads files, and looks into each for what must not leave, as the daemon does with those that it reads."""

    mode: Literal["redact", "block", "warn", "off"]
    """The setting `files.secrets`; `off` where the person wants them sent."""
    notes: list[str] = field(default_factory=list)
    """What was found, in sentences for the person."""
    _scanner: SecretScanner = field(default_factory=SecretScanner)

    def text(self, file: Path) -> str:
        """Return a text as it may be sent.

        Raises:
            StartFault: it cannot be read as text, or holds what is not sent.
        """
        content = _content(file)
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise StartFault(f"{file} is not UTF-8 text, and its name is not that of a picture.") from None
        if self.mode == "off":
            return text
        if (kind := secret_kind(file, text) or secret_kind(file.resolve(), text)) is not None:
            raise StartFault(
                f"{file} looks as if it held {kind}, which are not sent to a provider; {OVERRIDE}."
            )
        encoded = text.encode()
        places = places_of(encoded, self._scanner.spans(encoded), 1)
        return self._replaced(file, text, places) if places else text

    def picture(self, file: Path) -> str:
        """Return a picture as a `data:` URL.

        Raises:
            StartFault: it cannot be read, or its bytes hold what looks like a secret.
        """
        content = _content(file)
        if self.mode in {"redact", "block"} and (spans := self._scanner.spans(content)):
            raise StartFault(f"{file} holds what looks like a secret ({spans[0].rule}); {OVERRIDE}.")
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        return f"data:{kind};base64,{base64.b64encode(content).decode()}"

    def _replaced(self, file: Path, text: str, places: Sequence[Place]) -> str:
        named = ", ".join(f"line {place.line} ({place.rule})" for place in places[:NAMED_PLACES])
        more = f" and {len(places) - NAMED_PLACES} more" if len(places) > NAMED_PLACES else ""
        found = f"{file} holds what looks like secrets: {named}{more}"
        if self.mode == "block":
            raise StartFault(f"{found}. Remove them there; {OVERRIDE}.")
        if self.mode == "warn":
            self.notes.append(f"{found}. They are sent as they are.")
            return text
        self.notes.append(f"{found}. They are replaced; {OVERRIDE}.")
        return "\n".join(redacted(1, text.split("\n"), places))


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise StartFault(f"{file} cannot be read ({reason_of(error)}).") from error
